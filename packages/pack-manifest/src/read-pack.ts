import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { isJsonObject, MAX_PACK_JSON_BYTES, RumiError } from "@rumi/core";
import type { JsonValue, PackId } from "@rumi/core";
import { readJsonFile } from "@rumi/safe-files";
import * as v from "valibot";
import { findManifest } from "./discovery.ts";
import { EcosystemJson, IGNORED_MANIFEST_KEYS, MANIFEST_FILE } from "./ecosystem-json.ts";
import { checkPackId } from "./pack-id.ts";
import { DeclaredPermission, PERMISSIONS_FILE, PermissionsJson } from "./permissions-json.ts";
import { packError, packWarning } from "./problems.ts";
import type { PackProblem } from "./problems.ts";
import { DeclaredRoute, ROUTES_FILE, RoutesJson } from "./routes-json.ts";

/** Deepest JSON file of a pack. Source: page "Trust", section 1. */
export const MAX_PACK_JSON_DEPTH = 64;

/** Most values in one JSON file of a pack: millions of small ones fit the size limit and would hold up everybody else. */
export const MAX_PACK_JSON_VALUES = 20_000;

/** Problems told of one pack; further ones are counted. */
const MAX_PROBLEMS = 100;

/** What a pack's files say of it. Texts in it are pack-controlled: show them escaped. */
export interface PackDescription {
  readonly pack_id: PackId;
  /** Folder of the manifest below the pack folder: `""`, `backend` or another. */
  readonly subdir: string;
  readonly manifest: EcosystemJson;
  /** Null: the pack ships no permissions.json. */
  readonly permissions: readonly DeclaredPermission[] | null;
  readonly routes: readonly DeclaredRoute[];
  /** The pack asks for a long-lived process that keeps state between calls. */
  readonly reuse: boolean;
  readonly warnings: readonly PackProblem[];
}

/** The answer of `readPack`. */
export type PackRead =
  | { readonly ok: true; readonly pack: PackDescription }
  | { readonly ok: false; readonly problems: readonly PackProblem[] };

/**
 * Reads the manifest, permissions.json and routes.json of a live pack folder or a snapshot. Never throws for what the
 * files say; `packId` is the folder's name, which the manifest must repeat.
 */
export async function readPack(folder: string, packId: string): Promise<PackRead> {
  const read = await readFiles(folder, packId);
  if (!read.ok) return { ok: false, problems: fewProblems(read.problems) };
  return { ok: true, pack: { ...read.pack, warnings: fewProblems(read.pack.warnings) } };
}

/** Errors first, then as many warnings as can be read. */
function fewProblems(problems: readonly PackProblem[]): readonly PackProblem[] {
  if (problems.length <= MAX_PROBLEMS) return problems;
  const told = [...problems].sort((a, b) => Number(b.severity === "error") - Number(a.severity === "error")).slice(0, MAX_PROBLEMS);
  const { code, severity, file } = told.at(-1) ?? packWarning("pack_manifest.unknown_key", "", "");
  return [...told, { code, severity, file, message: `and ${problems.length - MAX_PROBLEMS} more` }];
}

async function readFiles(folder: string, packId: string): Promise<PackRead> {
  const idCheck = checkPackId(packId, []);
  if (!idCheck.ok) return { ok: false, problems: [packError(idCheck.code, "", idCheck.message)] };
  const place = await findManifest(folder);
  if (place === null) return { ok: false, problems: [packError("pack_manifest.invalid", MANIFEST_FILE, "there is no ecosystem.json")] };

  const problems: PackProblem[] = [...place.warnings];
  const manifest = await readOne(folder, join(place.subdir, MANIFEST_FILE), EcosystemJson, problems);
  if (manifest === null) return { ok: false, problems };
  if (manifest.value.pack_id !== packId) {
    problems.push(
      packError(
        "pack_manifest.id_mismatch",
        manifest.file,
        `the folder is ${packId}, the manifest says ${JSON.stringify(manifest.value.pack_id)}`,
        "pack_id",
      ),
    );
    return { ok: false, problems };
  }
  const permissions = await readBeside(folder, place.subdir, PERMISSIONS_FILE, PermissionsJson, problems);
  const routes = await readBeside(folder, place.subdir, ROUTES_FILE, RoutesJson, problems);
  if (problems.some((problem) => problem.severity === "error")) return { ok: false, problems };

  const declared =
    permissions === null ? null : readEntries(permissions.value.permissions, DeclaredPermission, permissions.file, "permissions", problems);
  const claimed = permissions?.value.pack_id;
  if (permissions !== null && claimed !== undefined && claimed !== packId) {
    problems.push(
      packWarning("pack_manifest.entry_refused", permissions.file, `names another pack: ${JSON.stringify(claimed)}`, "pack_id"),
    );
  }
  const declaredRoutes = routes === null ? [] : readEntries(routes.value.routes, DeclaredRoute, routes.file, "routes", problems);
  return {
    ok: true,
    pack: {
      pack_id: idCheck.id,
      subdir: place.subdir,
      manifest: manifest.value,
      permissions: declared,
      routes: declaredRoutes,
      reuse: manifest.value.runtime?.reuse ?? false,
      warnings: problems,
    },
  };
}

interface ReadFile<T> {
  readonly file: string;
  readonly value: T;
}

/** Reads `<subdir>/<name>`, else `<subdir>/backend/<name>`; null when neither is there or it is wrong (a problem then). */
async function readBeside<S extends ObjectSchema>(
  folder: string,
  subdir: string,
  name: string,
  schema: S,
  problems: PackProblem[],
): Promise<ReadFile<v.InferOutput<S>> | null> {
  for (const file of [join(subdir, name), join(subdir, "backend", name)]) {
    if (await isThere(join(folder, file))) return readOne(folder, file, schema, problems);
  }
  return null;
}

type ObjectSchema = v.ObjectSchema<v.ObjectEntries, undefined>;

async function readOne<S extends ObjectSchema>(
  folder: string,
  file: string,
  schema: S,
  problems: PackProblem[],
): Promise<ReadFile<v.InferOutput<S>> | null> {
  let raw: JsonValue;
  try {
    if (!(await lstat(join(folder, file))).isFile()) {
      problems.push(packError("pack_manifest.invalid", file, "must be a regular file"));
      return null;
    }
    raw = await readJsonFile(join(folder, file), { maxBytes: MAX_PACK_JSON_BYTES, maxDepth: MAX_PACK_JSON_DEPTH });
  } catch (cause) {
    problems.push(packError("pack_manifest.invalid", file, cause instanceof RumiError ? cause.message : "cannot be read"));
    return null;
  }
  if (!holdsFewValues(raw, MAX_PACK_JSON_VALUES)) {
    problems.push(packError("pack_manifest.invalid", file, `holds more than ${MAX_PACK_JSON_VALUES} values`));
    return null;
  }
  const parsed = v.safeParse(schema, raw);
  if (!parsed.success) {
    for (const issue of parsed.issues) {
      problems.push(packError("pack_manifest.invalid", file, issue.message, v.getDotPath(issue) ?? undefined));
    }
    return null;
  }
  warnUnknownKeys(schema, raw, file, "", problems);
  return { file, value: parsed.output };
}

function holdsFewValues(value: JsonValue, most: number): boolean {
  const stack: object[] = typeof value === "object" && value !== null ? [value] : [];
  let count = 0;
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    const children: unknown[] = Array.isArray(node) ? node : Object.values(node);
    count += children.length;
    if (count > most) return false;
    for (const child of children) if (typeof child === "object" && child !== null) stack.push(child);
  }
  return true;
}

function readEntries<S extends v.GenericSchema>(
  entries: readonly unknown[],
  schema: S,
  file: string,
  path: string,
  problems: PackProblem[],
): v.InferOutput<S>[] {
  const read: v.InferOutput<S>[] = [];
  for (const [index, entry] of entries.entries()) {
    const parsed = v.safeParse(schema, entry);
    if (parsed.success) {
      read.push(parsed.output);
      continue;
    }
    const [issue] = parsed.issues;
    const inner = v.getDotPath(issue);
    problems.push(
      packWarning(
        "pack_manifest.entry_refused",
        file,
        `left out: ${issue.message}`,
        `${path}.${index}${inner === null ? "" : `.${inner}`}`,
      ),
    );
  }
  return read;
}

/** Warns about keys that an object schema (and object schemas inside it, optional or in lists) does not name. */
function warnUnknownKeys(schema: v.GenericSchema, raw: unknown, file: string, path: string, problems: PackProblem[]): void {
  const entries = objectEntries(schema);
  if (entries === null || !isJsonObject(raw)) return;
  for (const [key, value] of Object.entries(raw)) {
    const at = path === "" ? key : `${path}.${key}`;
    const inner = Object.hasOwn(entries, key) ? entries[key] : undefined;
    if (inner !== undefined) {
      warnUnknownKeys(inner, value, file, at, problems);
      continue;
    }
    const ignored = path === "" && file.endsWith(MANIFEST_FILE) ? IGNORED_MANIFEST_KEYS.get(key) : undefined;
    problems.push(
      ignored === undefined
        ? packWarning("pack_manifest.unknown_key", file, "this key is not known and means nothing", at)
        : packWarning("pack_manifest.ignored_key", file, `has no effect: ${ignored}`, at),
    );
  }
}

function objectEntries(schema: v.GenericSchema): Readonly<Record<string, v.GenericSchema>> | null {
  if ("wrapped" in schema) return objectEntries(schema.wrapped as v.GenericSchema);
  // Only a choice between schemas: the options of a pick list are plain values.
  if (schema.type === "union" && "options" in schema && Array.isArray(schema.options)) {
    const options = schema.options as v.GenericSchema[];
    return options.map(objectEntries).find((entries) => entries !== null) ?? null;
  }
  return schema.type === "object" && "entries" in schema ? (schema.entries as Record<string, v.GenericSchema>) : null;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) return false;
    throw cause;
  }
}

import { join } from "node:path";
import type { ApprovedPack, PackApprovals } from "@rumi/approval";
import { RumiError } from "@rumi/core";
import type { DiagnosticsSink, PackId } from "@rumi/core";
import { FUNCTION_ENTRY_FILES, FUNCTION_FILE, FunctionId, FunctionJson, FUNCTIONS_FOLDER, runtimeOf } from "@rumi/pack-manifest";
import { readJsonFile } from "@rumi/safe-files";
import type { Runtime } from "@rumi/sandbox";
import * as v from "valibot";

/** A function of an approved pack, with the bytes it was read from. */
export interface CatalogFunction {
  readonly pack_id: PackId;
  /** `<pack_id>:<function_id>`. */
  readonly name: string;
  readonly digest: ApprovedPack["digest"];
  /** Below the snapshot's root. */
  readonly file: string;
  readonly function: string;
  readonly runtime: Runtime;
  readonly timeout_ms: number;
  readonly requires: readonly string[];
  readonly caller_requires: readonly string[];
  readonly aliases: readonly string[];
  /** It asks for the host, which no function gets: every call is refused. */
  readonly host_refused: boolean;
  readonly manifest: FunctionJson;
}

export interface FunctionCatalogDeps {
  readonly approvals: Pick<PackApprovals, "approved">;
  readonly diagnostics: DiagnosticsSink;
  /** Permission ids are never aliases. Absent: none is known. Memory only. */
  readonly isPermission?: (name: string) => boolean;
}

/** Which functions the approved packs ship, read from their snapshots. A bad one is left out alone. */
export class FunctionCatalog {
  readonly #deps: FunctionCatalogDeps;
  #byName: ReadonlyMap<string, CatalogFunction> = new Map();
  #byAlias: ReadonlyMap<string, CatalogFunction> = new Map();
  /** What was read from a snapshot stays true as long as the snapshot does. */
  readonly #read = new Map<string, readonly CatalogFunction[]>();
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: FunctionCatalogDeps) {
    this.#deps = deps;
  }

  /** By `<pack_id>:<function_id>`, else by alias. Memory only. */
  find(name: string): CatalogFunction | undefined {
    return this.#byName.get(name) ?? this.#byAlias.get(name);
  }

  /** All of them, in load order, then by id. */
  list(): readonly CatalogFunction[] {
    return [...this.#byName.values()];
  }

  /** Reads the packs that are approved now. To be called whenever that may have changed. */
  reload(): Promise<void> {
    const turn = this.#turn.then(() => this.#load());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #load(): Promise<void> {
    const byName = new Map<string, CatalogFunction>();
    const byAlias = new Map<string, CatalogFunction>();
    const kept = new Set<string>();
    for (const pack of this.#deps.approvals.approved()) {
      const key = `${pack.pack_id}\n${pack.digest}`;
      kept.add(key);
      let functions = this.#read.get(key);
      if (functions === undefined) {
        functions = await this.#readPack(pack);
        this.#read.set(key, functions);
      }
      for (const one of functions) {
        byName.set(one.name, one);
        for (const alias of one.aliases) this.#take(byAlias, alias, one);
      }
    }
    for (const key of this.#read.keys()) if (!kept.has(key)) this.#read.delete(key);
    this.#byName = byName;
    this.#byAlias = byAlias;
  }

  /** The first in load order keeps an alias. */
  #take(byAlias: Map<string, CatalogFunction>, alias: string, one: CatalogFunction): void {
    const owner = byAlias.get(alias);
    if (owner === undefined && this.#deps.isPermission?.(alias) !== true) byAlias.set(alias, one);
    else if (owner !== one) {
      this.#report(one.name, "degraded", `the alias ${alias} is ${owner === undefined ? "a permission" : `taken by ${owner.name}`}`);
    }
  }

  async #readPack(pack: ApprovedPack): Promise<readonly CatalogFunction[]> {
    const folder = `${pack.subdir === "" ? "" : `${pack.subdir}/`}${FUNCTIONS_FOLDER}/`;
    const files = new Set(pack.listing.entries.flatMap((entry) => (entry.type === "f" ? [entry.path] : [])));
    const found: CatalogFunction[] = [];
    for (const path of files) {
      if (!path.startsWith(folder) || !path.endsWith(`/${FUNCTION_FILE}`)) continue;
      const id = path.slice(folder.length, -FUNCTION_FILE.length - 1);
      if (id.includes("/")) continue;
      const read = await readFunction(pack, files, `${folder}${id}/`, id);
      if (typeof read !== "string") found.push(read);
      else this.#report(`${pack.pack_id}:${id}`, "disabled", read);
      if (typeof read !== "string" && read.host_refused)
        this.#report(read.name, "disabled", "it asks for the host: host power is a capability handler's");
    }
    return found;
  }

  #report(id: string, status: "degraded" | "disabled", message: string): void {
    this.#deps.diagnostics.report({ kind: "function", id, status, message, remedy: "rumi pack validate" });
  }
}

/** The function, or why it is none. Everything read is pack-controlled. */
async function readFunction(pack: ApprovedPack, files: ReadonlySet<string>, folder: string, id: string): Promise<CatalogFunction | string> {
  if (!v.is(FunctionId, id)) return "its folder's name is no function id";
  const raw = await readJsonFile(join(pack.root, `${folder}${FUNCTION_FILE}`)).catch((cause: unknown) => cause);
  if (raw instanceof Error) return raw instanceof RumiError ? raw.message : "its manifest cannot be read";
  const parsed = v.safeParse(FunctionJson, raw);
  if (!parsed.success) return `${v.getDotPath(parsed.issues[0]) ?? "manifest.json"}: ${parsed.issues[0].message}`;
  const manifest = parsed.output;
  if (manifest.function_id !== id) return "function_id is not the folder's name";
  const entry = entryOf(manifest.entrypoint, files, folder);
  if (entry === null) return manifest.entrypoint === undefined ? "it has no main file" : "its entrypoint is not there";
  return {
    pack_id: pack.pack_id,
    name: `${pack.pack_id}:${id}`,
    digest: pack.digest,
    ...entry,
    timeout_ms: manifest.timeout_seconds * 1000,
    requires: manifest.requires,
    caller_requires: manifest.caller_requires,
    aliases: [...new Set([...manifest.aliases, ...manifest.vocab_aliases])],
    host_refused: manifest.host_execution || manifest.runtime === "binary" || manifest.runtime === "command",
    manifest,
  };
}

function entryOf(
  entrypoint: string | undefined,
  files: ReadonlySet<string>,
  folder: string,
): Pick<CatalogFunction, "file" | "function" | "runtime"> | null {
  const [name, wanted] = entrypoint?.split(":") ?? [FUNCTION_ENTRY_FILES.find((file) => files.has(folder + file)), "run"];
  if (name === undefined || wanted === undefined) return null;
  // Only a path of the listing is a file: nothing that `..` or a link could lead to.
  const file = folder + name;
  const runtime = runtimeOf(name);
  return files.has(file) && runtime !== null ? { file, function: wanted, runtime } : null;
}

import { realpath, stat } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import * as v from "valibot";
import { CapabilityError } from "./errors.ts";

const MAX_ITEMS = 100;

/** One folder of the host that handlers of a pack see. */
export const HostMount = v.strictObject({
  source: v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
  /** Below `/mnt`. */
  target: v.pipe(
    v.string(),
    v.maxLength(255),
    v.regex(/^\/mnt(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/u, "must be a plain path below /mnt"),
  ),
  read_only: v.optional(v.boolean(), true),
});
export type HostMount = v.InferOutput<typeof HostMount>;

const Name = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_.-]{1,128}$/u, "each handler or unit is named, without patterns"));
const Names = v.pipe(v.array(Name), v.minLength(1), v.maxLength(MAX_ITEMS));
const Mounts = v.pipe(v.array(HostMount), v.minLength(1), v.maxLength(MAX_ITEMS));

/** Ids that may run on the host. @throws CapabilityError `capability.invalid_config` */
export function checkNames(config: unknown): string[] {
  return [...new Set(parse(Names, config, "a list of handler or unit ids"))];
}

/**
 * Folders that may be seen: real ones, without a link on the way, neither inside, nor around, a forbidden one.
 * @throws CapabilityError `capability.invalid_config`
 */
export async function checkMounts(config: unknown, forbidden: readonly string[]): Promise<HostMount[]> {
  const mounts = parse(Mounts, config, "a list of {source, target, read_only}");
  const closed = await Promise.all(forbidden.map(async (folder) => realpath(folder).catch(() => resolve(folder))));
  for (const { source } of mounts) {
    if (!isAbsolute(source) || resolve(source) !== source) throw invalid("the source of a mount is an absolute, plain path");
    const real = await realpath(source).catch(() => null);
    const found = real === source ? await stat(source).catch(() => null) : null;
    if (found?.isDirectory() !== true) throw invalid("the source of a mount is a folder that is there, without a link on its way");
    if (closed.some((folder) => isInside(source, folder) || isInside(folder, source))) {
      throw invalid("a mount shows neither the project, nor user_data, nor a folder around them");
    }
  }
  const targets = mounts.map((mount) => mount.target);
  if (targets.some((target, at) => targets.some((other, index) => index !== at && isInside(target, other)))) {
    throw invalid("two mounts have the same target, or one inside the other");
  }
  return mounts;
}

function parse<Value>(form: v.GenericSchema<unknown, Value>, config: unknown, what: string): Value {
  const parsed = v.safeParse(form, config);
  if (parsed.success) return parsed.output;
  throw invalid(`the config is ${what}: ${parsed.issues[0].message}`);
}

/** True for the same folder too. */
function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

function invalid(message: string): CapabilityError {
  return new CapabilityError("capability.invalid_config", message);
}

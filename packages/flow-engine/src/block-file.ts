const NODE_EXTENSIONS = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"];
/** UTF-8 bytes of a `file`. Source: the execution page, section 1. */
const MAX_FILE_PATH_BYTES = 512;
const ECOSYSTEM_PREFIX = /^ecosystem\/(?:packs\/)?([a-zA-Z0-9_-]{1,64})\/(.+)$/su;

export type BlockFile = { readonly ok: true; readonly runtime: "python" | "node" } | { readonly ok: false; readonly expected: string };

/** Judges a `file` of a step by its text alone: a contained relative path with a known extension. */
export function judgeBlockFile(file: string): BlockFile {
  if (!isContainedPath(file)) {
    return {
      ok: false,
      expected: "a relative path of 1 to 512 bytes with / and without empty, . or .. segments, \\, drive letters or control characters",
    };
  }
  if (file.endsWith(".py")) return { ok: true, runtime: "python" };
  if (NODE_EXTENSIONS.some((extension) => file.endsWith(extension))) return { ok: true, runtime: "node" };
  return { ok: false, expected: `a file ending in .py or ${NODE_EXTENSIONS.join(" ")}` };
}

function isContainedPath(file: string): boolean {
  if (file === "" || new TextEncoder().encode(file).length > MAX_FILE_PATH_BYTES) return false;
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\\\u0000-\u001f\u007f]/u.test(file) || /^[A-Za-z]:/u.test(file)) return false;
  return file.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

/** Splits `ecosystem/[packs/]<pack>/<file>`, or null. */
export function splitEcosystemPath(file: string): { readonly pack: string; readonly file: string } | null {
  const found = ECOSYSTEM_PREFIX.exec(file);
  return found?.[1] === undefined || found[2] === undefined ? null : { pack: found[1], file: found[2] };
}

/** Longest `file` of a step, in UTF-8 bytes. Source: page "Execution", section 1. */
export const MAX_BLOCK_PATH_BYTES = 512;

/** Places below the pack's root where a block is looked for, in order. Source: page "Execution", section 1. */
const SEARCH_PLACES = ["", "backend/", "blocks/", "backend/blocks/"] as const;

const PYTHON_EXTENSIONS: ReadonlySet<string> = new Set(["py"]);
const NODE_EXTENSIONS: ReadonlySet<string> = new Set(["js", "mjs", "cjs", "ts", "mts", "cts"]);

/** What runs a block. */
export type BlockRuntime = "python" | "node";

/** The answer of `planBlockFile`. */
export type BlockFilePlan =
  | { readonly ok: true; /** Below the pack root. */ readonly path: string; readonly runtime: BlockRuntime }
  | {
      readonly ok: false;
      readonly code: "path_rejected" | "not_found" | "unsupported_extension";
      readonly message: string;
    };

/** The runtime that a file's extension names, or null. */
export function runtimeOf(file: string): BlockRuntime | null {
  const name = file.slice(file.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  const extension = dot < 0 ? "" : name.slice(dot + 1);
  if (PYTHON_EXTENSIONS.has(extension)) return "python";
  return NODE_EXTENSIONS.has(extension) ? "node" : null;
}

/**
 * Finds the file of a block in a pack's list of regular files (paths below the pack root). Touches nothing: what is
 * not in the list is not there. `file` is pack-controlled.
 */
export function planBlockFile(listing: { readonly paths: ReadonlySet<string> }, subdir: string, file: string): BlockFilePlan {
  const wrong = pathProblem(file);
  if (wrong !== null) return { ok: false, code: "path_rejected", message: wrong };
  const runtime = runtimeOf(file);
  if (runtime === null) {
    return { ok: false, code: "unsupported_extension", message: "a block ends in .py, .js, .mjs, .cjs, .ts, .mts or .cts" };
  }
  const root = subdir === "" ? "" : `${subdir}/`;
  for (const place of SEARCH_PLACES) {
    const path = `${root}${place}${file}`;
    if (listing.paths.has(path)) return { ok: true, path, runtime };
  }
  return { ok: false, code: "not_found", message: `looked in ${SEARCH_PLACES.map((place) => `${root}${place}${file}`).join(", ")}` };
}

function pathProblem(file: string): string | null {
  const bytes = Buffer.byteLength(file, "utf8");
  if (bytes < 1 || bytes > MAX_BLOCK_PATH_BYTES) return `file must be 1 to ${MAX_BLOCK_PATH_BYTES} bytes`;
  if (!file.isWellFormed()) return "file must be well-formed text";
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused here
  if (/[\u0000-\u001f\u007f-\u009f\\]/u.test(file)) return "file may hold no backslash and no control character";
  if (/^[A-Za-z]:/u.test(file)) return "file may have no drive letter";
  if (file.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "file must be relative, without empty, . or .. segments";
  }
  return null;
}

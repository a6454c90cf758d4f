import { join } from "node:path";
import { SafeFilesError } from "./errors.ts";

/**
 * The path of `relative` below `root`, by its words alone (no disk access). `relative` may be pack-controlled: it is a
 * plain `/`-separated path, or empty for `root` itself. Links on the way are the caller's to refuse.
 * @throws SafeFilesError `safe_files.path_escapes` for absolute paths, `.`, `..` or empty segments, `\` and NUL.
 */
export function containedPath(root: string, relative: string): string {
  if (relative === "") return root;
  const segments = relative.split("/");
  const bad = segments.some((segment) => segment === "" || segment === "." || segment === "..");
  if (bad || relative.includes("\0") || relative.includes("\\") || /^[A-Za-z]:/u.test(relative)) {
    throw new SafeFilesError("safe_files.path_escapes", "the path leaves its folder", { details: { path: relative } });
  }
  return join(root, ...segments);
}

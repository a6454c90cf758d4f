import { SafeFilesError, type TreeRule } from "./errors.ts";

/** Sizes a tree must keep to. */
export interface TreeLimits {
  readonly maxFiles: number;
  readonly maxFolders: number;
  readonly maxFileBytes: number;
  readonly maxTotalBytes: number;
  readonly maxDepth: number;
  readonly maxPathBytes: number;
  readonly maxSegmentBytes: number;
}

/** Limits of a pack's tree (page "Trust", section 5); folders are held to the same count as files. */
export const TREE_LIMITS: TreeLimits = {
  maxFiles: 10_000,
  maxFolders: 10_000,
  maxFileBytes: 100 * 1024 * 1024,
  maxTotalBytes: 500 * 1024 * 1024,
  maxDepth: 32,
  maxPathBytes: 1024,
  maxSegmentBytes: 255,
};

/** A refusal of a tree. `path` is relative to its root and safe to print. */
export function treeUnsafe(rule: TreeRule, path: string, cause?: unknown): SafeFilesError {
  const printable = printablePath(path);
  return new SafeFilesError("safe_files.tree_unsafe", `${RULE_WORDS[rule]}: ${printable === "" ? "." : printable}`, {
    details: { path: printable, rule },
    cause,
  });
}

const RULE_WORDS: Readonly<Record<TreeRule, string>> = {
  link: "symbolic links are refused",
  special_file: "only files and folders may be in a tree",
  hard_link: "a hard link to outside the tree is refused",
  not_utf8: "a name is not UTF-8",
  not_nfc: "a name is not in Unicode normal form C",
  control_character: "a name holds a control character",
  backslash: "a name holds a backslash",
  segment_too_long: "a name is too long",
  segment_end: "a name ends in a space or a dot",
  path_too_long: "a path is too long",
  too_deep: "folders are nested too deep",
  collision: "two names differ only by case or Unicode form",
  too_many_files: "the tree holds too many files",
  too_many_folders: "the tree holds too many folders",
  file_too_large: "a file is too large",
  tree_too_large: "the tree is too large",
  changed: "the tree changed while it was read",
  unreadable: "a file or folder cannot be read",
};

function printablePath(path: string): string {
  return path.slice(0, 300).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a raw name. @throws SafeFilesError `safe_files.tree_unsafe` rule `not_utf8` */
export function decodeName(name: Uint8Array, parent: string): string {
  try {
    return utf8.decode(name);
  } catch (cause) {
    throw treeUnsafe("not_utf8", parent, cause);
  }
}

/** Judges one name as the last segment of `path` at `depth` (top level = 1). @throws SafeFilesError `tree_unsafe` */
export function checkTreePath(name: string, path: string, depth: number, limits: TreeLimits): void {
  if (depth > limits.maxDepth) throw treeUnsafe("too_deep", path);
  if (name.normalize("NFC") !== name) throw treeUnsafe("not_nfc", path);
  if (/\p{Cc}/u.test(name)) throw treeUnsafe("control_character", path);
  if (name.includes("\\")) throw treeUnsafe("backslash", path);
  if (/[ .]$/u.test(name)) throw treeUnsafe("segment_end", path);
  if (Buffer.byteLength(name) > limits.maxSegmentBytes) throw treeUnsafe("segment_too_long", path);
  if (Buffer.byteLength(path) > limits.maxPathBytes) throw treeUnsafe("path_too_long", path);
}

/** Equal for names that some file system or reader may take for one: NFKC and case folding. */
export function foldName(name: string): string {
  return name.normalize("NFKC").toLowerCase().toUpperCase().toLowerCase().normalize("NFKC");
}

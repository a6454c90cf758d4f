import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type SafeFilesErrorCode =
  | "safe_files.path_escapes"
  | "safe_files.not_found"
  | "safe_files.not_a_file"
  | "safe_files.not_a_folder"
  | "safe_files.too_large"
  | "safe_files.invalid_json"
  | "safe_files.forbidden_key"
  | "safe_files.too_deep"
  | "safe_files.tree_unsafe"
  | "safe_files.target_exists"
  | "safe_files.key_file_unsafe"
  | "safe_files.locked"
  | "safe_files.record_tampered"
  | "safe_files.locked_by"
  | "safe_files.log_failed"
  | "safe_files.database_failed";

/** A disk operation that this package refuses or could not finish. Messages and details hold no host path. */
export class SafeFilesError extends RumiError<SafeFilesErrorCode> {}

/** Why a tree is refused (`details.rule` of `safe_files.tree_unsafe`). */
export type TreeRule =
  | "link"
  | "special_file"
  | "hard_link"
  | "not_utf8"
  | "not_nfc"
  | "control_character"
  | "backslash"
  | "segment_too_long"
  | "segment_end"
  | "path_too_long"
  | "too_deep"
  | "collision"
  | "too_many_files"
  | "too_many_folders"
  | "file_too_large"
  | "tree_too_large"
  | "changed"
  | "unreadable";

/** The system's error code (`ENOENT`...), or null for anything else. */
export function systemCode(error: unknown): string | null {
  if (typeof error !== "object" || error === null || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}

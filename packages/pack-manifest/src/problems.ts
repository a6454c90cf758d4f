/** Codes that keep a pack from loading. */
export type PackErrorCode =
  | "pack_manifest.invalid_pack_id"
  | "pack_manifest.reserved"
  | "pack_manifest.lookalike"
  | "pack_manifest.invalid"
  | "pack_manifest.id_mismatch";

/** Codes of things worth an operator's or author's look; the pack still loads. */
export type PackWarningCode =
  | "pack_manifest.unknown_key"
  | "pack_manifest.ignored_key"
  | "pack_manifest.entry_refused"
  | "pack_manifest.shadowed"
  | "pack_manifest.link_ignored"
  | "pack_manifest.several_manifests"
  | "pack_manifest.unmet_requires"
  | "pack_manifest.load_cycle";

/** One thing wrong, or doubtful, in a pack's files. `message` may quote pack-controlled text: show it escaped. */
export interface PackProblem {
  readonly code: PackErrorCode | PackWarningCode;
  readonly severity: "error" | "warning";
  /** Path below the pack folder, or the pack's folder name when no file is meant. */
  readonly file: string;
  /** Dotted path inside the file. */
  readonly path?: string;
  readonly message: string;
  /** The command that shows or mends it. */
  readonly remedy?: string;
}

/** The verb that lists every problem of a pack with its place. */
export const VALIDATE_REMEDY = "rumi pack validate";

/** A problem that keeps the pack in state `error`. */
export function packError(code: PackErrorCode, file: string, message: string, path?: string): PackProblem {
  return { code, severity: "error", file, message, remedy: VALIDATE_REMEDY, ...(path === undefined ? {} : { path }) };
}

/** A problem that is only shown. */
export function packWarning(code: PackWarningCode, file: string, message: string, path?: string): PackProblem {
  return { code, severity: "warning", file, message, ...(path === undefined ? {} : { path }) };
}

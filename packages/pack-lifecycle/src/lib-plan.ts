import type { Digest } from "@rumi/core";
import type { LibFile, LibType, PackLib } from "./lib-files.ts";
import type { LibRecord } from "./lib-records.ts";
import { MAX_LIB_FAILURES } from "./limits.ts";

/** What the next start does with a pack's lib. `none`: there is nothing to run. `skip`: these bytes have run well. */
export type LibPlan =
  | { readonly action: "run"; readonly lib_type: LibType; readonly lib_digest: Digest; readonly file: LibFile }
  | { readonly action: "gave_up"; readonly lib_type: LibType; readonly lib_digest: Digest; readonly error: string | null }
  | { readonly action: "skip"; readonly lib_type: LibType; readonly lib_digest: Digest }
  | { readonly action: "none"; readonly lib_type: null; readonly lib_digest: Digest | null };

/**
 * What to do with a lib, by what is known of its pack's runs. Without a success so far: install. The same bytes: nothing. Others: update,
 * else install. Three failures of the same bytes: nothing until the records are cleared. Source: page "Flows", section 14.3.
 */
export function planLib(lib: PackLib | null, records: readonly LibRecord[]): LibPlan {
  if (lib === null) return { action: "none", lib_type: null, lib_digest: null };
  const lib_digest = lib.digest;
  const success = records.find((record) => record.success);
  if (success?.lib_digest === lib_digest) return { action: "skip", lib_type: success.lib_type, lib_digest };
  const [lib_type, file] =
    success !== undefined && lib.update !== null ? (["update", lib.update] as const) : (["install", lib.install] as const);
  // Only `update`, and nothing that it could go on from.
  if (file === null) return { action: "none", lib_type: null, lib_digest };
  const gaveUp = givenUp(records, lib_digest);
  if (gaveUp !== undefined) return { action: "gave_up", lib_type, lib_digest, error: gaveUp.error };
  return { action: "run", lib_type, lib_digest, file };
}

/** The record that says these bytes failed too often; undefined when they did not. */
export function givenUp(records: readonly LibRecord[], digest: Digest): LibRecord | undefined {
  return records.find((record) => !record.success && record.lib_digest === digest && record.failures >= MAX_LIB_FAILURES);
}

import { Digest, MIB, PackId } from "@rumi/core";
import { readJsonFile, SafeFilesError, writeFileAtomic } from "@rumi/safe-files";
import * as v from "valibot";
import { LIB_TYPES } from "./lib-files.ts";

/** Largest file of records that is read. Source: own; two records of 8 KiB of each of 1,000 packs. */
const MAX_RECORDS_BYTES = 16 * MIB;

/** How a run of a pack's lib ended. A pack has at most two: its last success, and the failure after it. */
const LibRecordSchema = v.object({
  pack_id: PackId,
  lib_type: v.picklist(LIB_TYPES),
  lib_digest: Digest,
  /** UTC, ISO. */
  executed_at: v.string(),
  success: v.boolean(),
  /** Redacted; null after a success. */
  error: v.nullable(v.string()),
  /** Of these very bytes, one after the other; 0 after a success. */
  failures: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type LibRecord = Readonly<v.InferOutput<typeof LibRecordSchema>>;

const RecordsFile = v.object({ version: v.literal(1), records: v.array(LibRecordSchema) });

/** What stands in the file. `problem`: it could not be used, so nothing counts as run; null when it is in order or not there. */
export interface RecordsRead {
  readonly records: readonly LibRecord[];
  readonly problem: string | null;
}

/** Reads the records. A file that is torn, odd or a link is told and counts as empty; never throws for what it says. */
export async function readRecords(path: string): Promise<RecordsRead> {
  try {
    const parsed = v.safeParse(RecordsFile, await readJsonFile(path, { maxBytes: MAX_RECORDS_BYTES }));
    if (parsed.success) return { records: parsed.output.records, problem: null };
    return { records: [], problem: "it does not have the form of a file of records" };
  } catch (cause) {
    if (!(cause instanceof SafeFilesError)) throw cause;
    return { records: [], problem: cause.code === "safe_files.not_found" ? null : cause.message };
  }
}

/** Puts the records in place whole: after a kill they are the old ones or the new ones. */
export async function writeRecords(path: string, records: readonly LibRecord[]): Promise<void> {
  const sorted = records.toSorted((a, b) => (a.pack_id < b.pack_id ? -1 : a.pack_id > b.pack_id ? 1 : 0));
  await writeFileAtomic(path, `${JSON.stringify({ version: 1, records: sorted }, null, 1)}\n`);
}

/** How a run ended, as it is to be remembered. `counts`: a failure that is the pack's own. */
export type LibEnding = Pick<LibRecord, "pack_id" | "lib_type" | "lib_digest" | "executed_at" | "error"> & { readonly counts: boolean };

/** The records after one more run. A success replaces what was; a failure stands beside the last success. Pure. */
export function withEnding(records: readonly LibRecord[], ending: LibEnding): LibRecord[] {
  const { counts, ...facts } = ending;
  const own = records.filter((record) => record.pack_id === ending.pack_id);
  const others = records.filter((record) => record.pack_id !== ending.pack_id);
  if (ending.error === null) return [...others, { ...facts, success: true, failures: 0 }];
  const before = own.find((record) => !record.success && record.lib_digest === ending.lib_digest)?.failures ?? 0;
  return [...others, ...own.filter((record) => record.success), { ...facts, success: false, failures: before + (counts ? 1 : 0) }];
}

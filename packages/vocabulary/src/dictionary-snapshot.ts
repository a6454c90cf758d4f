import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "@rumi/core";
import { readJsonFile, SafeFilesError, writeFileAtomic } from "@rumi/safe-files";
import * as v from "valibot";
import { DictionaryRules } from "./dictionary-rules.ts";
import { MAX_RULES } from "./limits.ts";

/** The rules as they are, and how much of the journal they hold. */
const SNAPSHOT_FILE = "snapshot.json";
/** All rules of the most characters, each escaped, stay below this. */
const MAX_SNAPSHOT_BYTES = 64 * MIB;
const Snapshot = v.object({
  version: v.literal(1),
  /** The rules hold every line of the journal before this byte. */
  journal_bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  rules: v.pipe(v.array(v.object({ namespace: v.string(), token: v.string(), value: v.string() })), v.maxLength(MAX_RULES)),
});

/** What stands in the snapshot; `broken`: nothing that may be used. */
export type SnapshotRead =
  | { readonly state: "ok"; readonly rules: DictionaryRules; readonly journalBytes: number }
  | { readonly state: "absent" | "broken" };

/** Reads the snapshot in `folder`. One with rules that could not have been accepted is broken. */
export async function readSnapshot(folder: string): Promise<SnapshotRead> {
  let parsed: v.SafeParseResult<typeof Snapshot>;
  try {
    parsed = v.safeParse(Snapshot, await readJsonFile(join(folder, SNAPSHOT_FILE), { maxBytes: MAX_SNAPSHOT_BYTES }));
  } catch (cause) {
    if (!(cause instanceof SafeFilesError)) throw cause;
    return { state: cause.code === "safe_files.not_found" ? "absent" : "broken" };
  }
  if (!parsed.success) return { state: "broken" };
  const rules = new DictionaryRules();
  for (const rule of parsed.output.rules) if (!rules.add(rule).isNew) return { state: "broken" };
  return { state: "ok", rules, journalBytes: parsed.output.journal_bytes };
}

/** Puts the snapshot in place whole: after a kill it is the old one or the new one. */
export async function writeSnapshot(folder: string, rules: DictionaryRules, journalBytes: number): Promise<void> {
  const snapshot: v.InferOutput<typeof Snapshot> = { version: 1, journal_bytes: journalBytes, rules: rules.list() };
  await writeFileAtomic(join(folder, SNAPSHOT_FILE), `${JSON.stringify(snapshot, null, 1)}\n`);
}

/** Moves a broken snapshot out of the way; the new name, without its folder. */
export async function setSnapshotAside(folder: string, nowMs: number): Promise<string> {
  const name = `${SNAPSHOT_FILE}.broken-${new Date(nowMs).toISOString().replaceAll(/[-:.]/gu, "")}`;
  await rename(join(folder, SNAPSHOT_FILE), join(folder, name));
  return name;
}

/** Removes what a kill in the middle of a write left. */
export async function removeLeftovers(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => name.startsWith(`.${SNAPSHOT_FILE}.`) && name.endsWith(".tmp"));
  await Promise.all(left.map((name) => rm(join(folder, name), { force: true })));
}

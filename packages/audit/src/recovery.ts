import { constants } from "node:fs";
import { open, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { AuditCategory } from "@rumi/core";
import { AppendFile, ensureFolder, writeFileAtomic } from "@rumi/safe-files";
import { listAuditFiles, readLinesBackwards, type AuditFile } from "./audit-files.ts";
import { GENESIS, parseLine } from "./entry.ts";
import type { AuditHead } from "./heads.ts";

/** Where the chain goes on, and what a crash left that is not part of it. */
export interface Recovered {
  readonly seq: number;
  readonly mac: string;
  /** Newest part per `<category>_<date>`. */
  readonly parts: ReadonlyMap<string, number>;
  /** Bytes of half-written lines and whole lines that followed a lost one; kept below `aside/`. */
  readonly torn_bytes: number;
  readonly orphans: number;
}

interface TailEntry {
  readonly seq: number;
  readonly prev: string;
  readonly mac: string;
  readonly start: number;
  readonly text: string;
  readonly file: AuditFile;
}

const ASIDE_FOLDER = "aside";

/**
 * Finds the end of the chain after any kind of stop. A half-written last line, and lines written behind one that a power
 * cut lost, are moved to `aside/`: nobody was told that they are kept. What a signed head vouches for is never moved;
 * if it is missing the chain goes on behind the head and verification names the gap.
 */
export async function recoverChain(folder: string, head: AuditHead | null, stamp: string): Promise<Recovered> {
  const files = await listAuditFiles(folder);
  const aside: string[] = [];
  let tornBytes = 0;
  for (const list of files.values()) {
    const newest = list.at(-1);
    if (newest === undefined) continue;
    const torn = await cutTorn(newest.path);
    if (torn.length === 0) continue;
    tornBytes += torn.length;
    aside.push(torn.toString("utf8"));
  }
  const tail = await readTail(files, head?.seq ?? null);
  let seq = head?.seq ?? Math.max(0, (tail[0]?.seq ?? 1) - 1);
  let mac = head?.mac ?? tail[0]?.prev ?? GENESIS;
  let whole = 0;
  for (const entry of tail) {
    if (entry.seq !== seq + 1) break;
    ({ seq, mac } = entry);
    whole += 1;
  }
  const orphans = tail.slice(whole);
  // Lines that stand a second time are no orphans: they stay, and verification names them.
  const behindGap = orphans.filter((entry) => entry.seq > seq + 1);
  if (behindGap.length === orphans.length) {
    for (const { text } of orphans) aside.push(text);
    await cutOrphans(orphans);
  }
  const setAside = behindGap.length === orphans.length ? orphans.length : 0;
  if (aside.length > 0) {
    await ensureFolder(join(folder, ASIDE_FOLDER));
    await writeFileAtomic(join(folder, ASIDE_FOLDER, `${stamp.replace(/[^0-9TZ]/gu, "")}.txt`), `${aside.join("\n")}\n`);
  }
  const last = setAside === orphans.length ? undefined : orphans.at(-1);
  if (last !== undefined) ({ seq, mac } = last);
  const parts = new Map([...files.values()].flat().map((file) => [`${file.category}_${file.date}`, file.part]));
  return { seq, mac, parts, torn_bytes: tornBytes, orphans: setAside };
}

async function cutTorn(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size === 0) return Buffer.alloc(0);
  await using file = await AppendFile.open(path);
  return file.torn;
}

/** Entries past `after` in chain order; with no head to go by, only the last of each category. */
async function readTail(files: ReadonlyMap<AuditCategory, readonly AuditFile[]>, after: number | null): Promise<TailEntry[]> {
  let found: TailEntry[] = [];
  for (const list of files.values()) found = found.concat(await readCategoryTail(list.toReversed(), after));
  found.sort((a, b) => a.seq - b.seq);
  return after === null ? found.slice(-1) : found;
}

async function readCategoryTail(newestFirst: readonly AuditFile[], after: number | null): Promise<TailEntry[]> {
  const found: TailEntry[] = [];
  for (const file of newestFirst) {
    for await (const { text, start } of readLinesBackwards(file.path)) {
      const entry = parseLine(text);
      if (entry === null) continue;
      if (after !== null && entry.seq <= after) break;
      found.push({ seq: entry.seq, prev: entry.prev, mac: entry.mac, start, text, file });
      if (after === null) break;
    }
  }
  return found;
}

async function cutOrphans(orphans: readonly TailEntry[]): Promise<void> {
  const cuts = new Map<string, number>();
  for (const { file, start } of orphans) cuts.set(file.path, Math.min(start, cuts.get(file.path) ?? start));
  for (const [path, size] of cuts) {
    await truncate(path, size);
    await using handle = await open(path, constants.O_RDWR);
    await handle.sync();
  }
}

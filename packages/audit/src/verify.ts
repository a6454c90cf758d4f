import { timingSafeEqual } from "node:crypto";
import type { JsonObject } from "@rumi/core";
import { listAuditFiles, readLines, type AuditFile } from "./audit-files.ts";
import { chainMac, createChainKeys, GENESIS, parseLine } from "./entry.ts";
import type { ChainKey } from "./entry.ts";
import { loadHeads, type AuditHead } from "./heads.ts";

/** What is wrong at one place of the chain. */
export type AuditFault =
  | "unreadable"
  | "edited"
  | "unknown_key"
  | "inserted"
  | "reordered"
  | "missing"
  | "cut_tail"
  | "head_mismatch"
  | "heads_lost"
  | "head_edited"
  | "clock_back";

/** The judgement over the whole log. `first_bad` names the first place that does not hold. */
export interface AuditVerification {
  readonly ok: boolean;
  readonly entries: number;
  readonly heads: number;
  readonly last_seq: number;
  readonly first_bad: { readonly seq: number; readonly kind: AuditFault } | null;
}

/** What `verifyAudit` reads. */
export interface VerifySource {
  readonly folder: string;
  readonly headsPath: string;
  /** Audit keys by id, retired ones too. */
  readonly keys: ReadonlyMap<string, ChainKey>;
  /** Entries past this one are still being written and not looked at. */
  readonly upTo?: number;
  /** A head kept elsewhere; it finds a log and heads that were cut back together. */
  readonly head?: AuditHead;
}

/** Clocks are corrected by small steps; more than this backwards is told. */
const CLOCK_TOLERANCE_MS = 1000;

/**
 * Walks the whole chain in order and compares it with every signed head. Memory stays flat.
 * Finds edits, insertions, deletions, reordering, lost files, a cut start or end and a clock set back.
 */
export async function verifyAudit(given: VerifySource): Promise<AuditVerification> {
  const source = { ...given, keys: createChainKeys(given.keys) };
  const { heads, foreign } = await loadHeads(source.headsPath, source.keys);
  // A running log signs heads while we read; those past `upTo` belong to entries we do not look at.
  const upTo = source.upTo ?? Number.MAX_SAFE_INTEGER;
  const relevant = heads.filter((head) => head.seq <= upTo);
  const walk = new ChainWalk(source, source.head === undefined ? relevant : [...relevant, source.head]);
  const fault = (await walk.run()) ?? headFault(walk, heads.length, foreign);
  return { ok: fault === null, entries: walk.entries, heads: heads.length, last_seq: walk.seq, first_bad: fault };
}

type Fault = NonNullable<AuditVerification["first_bad"]>;
type Line = { readonly entry: ReturnType<typeof parseLine> };

function headFault(walk: ChainWalk, heads: number, foreign: number): Fault | null {
  if (foreign > 0) return { seq: walk.seq, kind: "head_edited" };
  if (heads === 0 && walk.entries > 0) return { seq: walk.seq, kind: "heads_lost" };
  return null;
}

class ChainWalk {
  readonly #source: VerifySource;
  readonly #heads: ReadonlyMap<number, readonly AuditHead[]>;
  readonly #highest: number;
  entries = 0;
  seq = 0;
  #mac = GENESIS;
  #time = 0;

  constructor(source: VerifySource, heads: readonly AuditHead[]) {
    this.#source = source;
    this.#heads = Map.groupBy(heads, (head) => head.seq);
    this.#highest = heads.reduce((highest, head) => Math.max(highest, head.seq), 0);
  }

  async run(): Promise<Fault | null> {
    const files = [...(await listAuditFiles(this.#source.folder)).values()].flat();
    const later: LineStream[] = [];
    for (const file of files) {
      const stream = new LineStream(file);
      if ((await stream.firstSeq()) !== null) later.push(stream);
    }
    later.sort((a, b) => b.start - a.start);
    const upTo = this.#source.upTo ?? Number.MAX_SAFE_INTEGER;
    let open: LineStream[] = [];
    try {
      for (;;) {
        const expected = this.seq + 1;
        for (let next = later.at(-1); next !== undefined && next.start <= expected; next = later.at(-1)) {
          open.push(next);
          later.pop();
        }
        // Lines past `upTo` may still be in the making; a line in front with an earlier place has no right to be there.
        const step = expected > upTo ? "stuck" : await this.#step(open);
        if (step === "stuck") {
          open = await withLines(open);
          if (expected > upTo ? await allPast(open, upTo) : open.length + later.length === 0) break;
          return await this.#diagnose([...open, ...later.toReversed()], expected);
        }
        if (step !== null) return step;
      }
    } finally {
      await Promise.all([...open, ...later].map((stream) => stream.close()));
    }
    return this.#highest > this.seq ? { seq: this.seq + 1, kind: "cut_tail" } : null;
  }

  /** Takes the entry that comes next from whichever file has it in front. */
  async #step(streams: readonly LineStream[]): Promise<Fault | "stuck" | null> {
    for (const stream of streams) {
      const line = await stream.peek();
      if (line?.entry?.seq !== this.seq + 1) continue;
      stream.drop();
      return this.#take(line.entry);
    }
    return "stuck";
  }

  #take(entry: NonNullable<Line["entry"]>): Fault | null {
    const { mac, ...unsigned } = entry;
    const at = { seq: entry.seq };
    const key = typeof entry.kid === "string" ? this.#source.keys.get(entry.kid) : undefined;
    if (key === undefined) return { ...at, kind: "unknown_key" };
    if (!macHolds(key, unsigned, mac)) return { ...at, kind: "edited" };
    if (entry.prev !== this.#mac) return { ...at, kind: "inserted" };
    for (const head of this.#heads.get(entry.seq) ?? []) {
      if (head.mac !== mac) return { ...at, kind: "head_mismatch" };
    }
    const time = Date.parse(entry.ts);
    if (!(time >= this.#time - CLOCK_TOLERANCE_MS)) return { ...at, kind: "clock_back" };
    this.#time = time;
    this.#mac = mac;
    this.seq = entry.seq;
    this.entries += 1;
    return null;
  }

  /** The next entry is in front of no file: it stands further back, was rewritten, or is gone. */
  async #diagnose(streams: readonly LineStream[], expected: number): Promise<Fault> {
    for (const stream of streams) {
      if ((await stream.peek())?.entry === null) return { seq: expected, kind: "unreadable" };
    }
    for (const stream of streams) {
      const entry = (await stream.peek())?.entry;
      if (entry === undefined || entry === null || this.#signed(entry)) continue;
      return { seq: Math.min(expected, entry.seq), kind: entry.seq < expected ? "inserted" : "edited" };
    }
    for (const stream of streams) {
      const entry = (await stream.peek())?.entry;
      if (entry !== undefined && entry !== null && entry.seq < expected) return { seq: entry.seq, kind: "inserted" };
    }
    for (const stream of streams) {
      for (let line = await stream.peek(); line !== null; line = await stream.peek()) {
        if (line.entry?.seq === expected) return { seq: expected, kind: "reordered" };
        stream.drop();
      }
    }
    return { seq: expected, kind: "missing" };
  }

  #signed(entry: NonNullable<Line["entry"]>): boolean {
    const { mac, ...unsigned } = entry;
    const key = typeof entry.kid === "string" ? this.#source.keys.get(entry.kid) : undefined;
    return key !== undefined && macHolds(key, unsigned, mac);
  }
}

function macHolds(key: ChainKey, unsigned: JsonObject, mac: string): boolean {
  if (!/^[0-9a-f]{64}$/u.test(mac)) return false;
  try {
    return timingSafeEqual(Buffer.from(chainMac(key, unsigned), "hex"), Buffer.from(mac, "hex"));
  } catch {
    return false;
  }
}

/** The lines of one file, one in front. Opened at the first look, closed at its end. */
class LineStream {
  readonly #file: AuditFile;
  #lines: AsyncGenerator<{ readonly text: string }> | null = null;
  #front: Line | null = null;
  /** Place of the first entry; an unreadable first line comes first of all. */
  start = 0;

  constructor(file: AuditFile) {
    this.#file = file;
  }

  /** Notes where the file starts in the chain; null for an empty file. Leaves the file closed. */
  async firstSeq(): Promise<number | null> {
    const line = await this.peek();
    await this.close();
    this.#front = null;
    this.#lines = null;
    this.start = line?.entry?.seq ?? 0;
    return line === null ? null : this.start;
  }

  async peek(): Promise<Line | null> {
    if (this.#front === null) {
      this.#lines ??= readLines(this.#file.path);
      const next = await this.#lines.next();
      this.#front = next.done === true ? null : { entry: parseLine(next.value.text) };
    }
    return this.#front;
  }

  drop(): void {
    this.#front = null;
  }

  async close(): Promise<void> {
    await this.#lines?.return(undefined);
  }
}

/** True when all lines in front belong to entries that are still being written. */
async function allPast(streams: readonly LineStream[], upTo: number): Promise<boolean> {
  for (const stream of streams) {
    const entry = (await stream.peek())?.entry;
    if (entry !== undefined && (entry === null || entry.seq <= upTo)) return false;
  }
  return true;
}

async function withLines(streams: readonly LineStream[]): Promise<LineStream[]> {
  const left: LineStream[] = [];
  for (const stream of streams) if ((await stream.peek()) !== null) left.push(stream);
  return left;
}

import { canonicalJson, type JsonObject } from "@rumi/core";
import * as v from "valibot";
import { readLines, readLinesBackwards } from "./audit-files.ts";
import { chainMac } from "./entry.ts";
import type { ChainKey } from "./entry.ts";

/** A signed statement: the chain reached `seq` with this `mac`. */
export interface AuditHead {
  readonly seq: number;
  readonly mac: string;
  readonly ts: string;
  /** Newest revision of the index of signed files known then. */
  readonly revisions_rev: number;
  readonly kid: string;
}

/** Keeps a head's signature from ever being an entry's. */
const HEAD_CONTEXT = "rumi-audit-head-v1";

/** The line of a head, without its line end. */
export function signHead(head: AuditHead, key: ChainKey): string {
  const unsigned: JsonObject = { ...head };
  return canonicalJson({ ...unsigned, sig: chainMac(key, { ...unsigned, context: HEAD_CONTEXT }) });
}

/** The head of one line if we signed it, else null. */
export function readHead(line: string, keys: ReadonlyMap<string, ChainKey>): AuditHead | null {
  const parsed = v.safeParse(SignedHead, line);
  if (!parsed.success) return null;
  const { sig, ...head } = parsed.output;
  const key = keys.get(head.kid);
  if (key === undefined || chainMac(key, { ...head, context: HEAD_CONTEXT }) !== sig) return null;
  return head;
}

const SignedHead = v.pipe(
  v.string(),
  v.parseJson(),
  v.strictObject({
    seq: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    mac: v.string(),
    ts: v.string(),
    revisions_rev: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    kid: v.string(),
    sig: v.string(),
  }),
);

/** All heads of a file in order, and how many lines are none of ours. An absent file has neither. */
export async function loadHeads(
  path: string,
  keys: ReadonlyMap<string, ChainKey>,
): Promise<{ heads: readonly AuditHead[]; foreign: number }> {
  const heads: AuditHead[] = [];
  let foreign = 0;
  try {
    for await (const { text } of readLines(path)) {
      const head = readHead(text, keys);
      if (head === null) foreign += 1;
      else heads.push(head);
    }
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  return { heads, foreign };
}

/** Heads read at a start. Each one covers all before it, so the last few say everything, however long the file is. */
const NEWEST_HEADS = 256;

/** The newest head of a file, and the newest index revision its last heads tell. Costs the same for any length of the file. */
export async function loadNewestHead(
  path: string,
  keys: ReadonlyMap<string, ChainKey>,
): Promise<{ head: AuditHead | null; knownRevision: number }> {
  let head: AuditHead | null = null;
  let knownRevision = 0;
  let read = 0;
  try {
    for await (const { text } of readLinesBackwards(path)) {
      const next = readHead(text, keys);
      if (next === null) continue;
      if (head === null || next.seq > head.seq) head = next;
      knownRevision = Math.max(knownRevision, next.revisions_rev);
      read += 1;
      if (read >= NEWEST_HEADS) break;
    }
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  return { head, knownRevision };
}

function isAbsent(error: unknown): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === "ENOENT";
}

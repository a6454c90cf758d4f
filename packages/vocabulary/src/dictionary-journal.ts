import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import * as v from "valibot";
import { MAX_TEXT_CHARS } from "./limits.ts";

/** How a `propose` or `remove` ended. */
export const JOURNAL_RESULTS = ["accepted", "conflict", "cycle_detected", "rejected", "removed", "not_found"] as const;

/** One line of journal.jsonl. */
export const JournalLine = v.object({
  ts: v.string(),
  op: v.picklist(["propose", "remove"]),
  namespace: v.string(),
  token: v.string(),
  /** Null: a `remove` that named none and found none. */
  value: v.nullable(v.string()),
  result: v.picklist(JOURNAL_RESULTS),
});
export type JournalLine = v.InferOutput<typeof JournalLine>;

/** The line as it is written: texts cut, with its line end. */
export function formatLine({ ts, op, namespace, token, value, result }: JournalLine): string {
  const line = { ts, op, namespace: cut(namespace), token: cut(token), value: value === null ? null : cut(value), result };
  return `${JSON.stringify(line)}\n`;
}

/** `text` as the journal and the audit log keep it. */
export function cut(text: string): string {
  // A character is at most two units: the rest of a long text is not even looked at.
  const some = text.slice(0, MAX_TEXT_CHARS * 2);
  return Array.from(some).slice(0, MAX_TEXT_CHARS).join("").toWellFormed();
}

/** Lines of the journal at `path` from byte `start` on, which a line begins at; null for one that is none. */
export async function* readJournal(path: string, start: number): AsyncGenerator<JournalLine | null> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  for await (const bytes of lines(handle, start)) yield parseLine(bytes);
}

/** True when a line of the journal begins at byte `start`. */
export async function beginsLine(path: string, start: number): Promise<boolean> {
  if (start === 0) return true;
  await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, start - 1);
  return bytesRead === 1 && buffer[0] === LINE_END;
}

const LINE_END = 0x0a;
const CHUNK_BYTES = 64 * 1024;

async function* lines(handle: FileHandle, start: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (let at = start; ;) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END, from)) {
      yield rest.subarray(from, end);
      from = end + 1;
    }
    rest = rest.subarray(from);
  }
}

function parseLine(bytes: Buffer): JournalLine | null {
  try {
    const parsed = v.safeParse(JournalLine, JSON.parse(bytes.toString("utf8")));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AUDIT_CATEGORIES, type AuditCategory } from "@rumi/core";

/** One file of the log. */
export interface AuditFile {
  readonly category: AuditCategory;
  /** UTC, `YYYY-MM-DD`. */
  readonly date: string;
  /** 0 for the first, then the number in `.1.jsonl`. */
  readonly part: number;
  readonly path: string;
}

const FILE_NAME = /^([a-z_]+)_(\d{4}-\d{2}-\d{2})(?:\.([1-9]\d{0,8}))?\.jsonl$/u;
const CHUNK_BYTES = 64 * 1024;
const LINE_END = 0x0a;

/** The name of a file of the log. */
export function auditFileName(category: AuditCategory, date: string, part: number): string {
  return `${category}_${date}${part === 0 ? "" : `.${part}`}.jsonl`;
}

/** All files of the log by category, oldest first. Other files are left alone. */
export async function listAuditFiles(folder: string): Promise<ReadonlyMap<AuditCategory, readonly AuditFile[]>> {
  const files = new Map<AuditCategory, AuditFile[]>();
  for (const name of await readdir(folder)) {
    const [, word, date, part] = FILE_NAME.exec(name) ?? [];
    const category = AUDIT_CATEGORIES.find((known) => known === word);
    if (category === undefined || date === undefined) continue;
    const file = { category, date, part: Number(part ?? 0), path: join(folder, name) };
    files.set(category, [...(files.get(category) ?? []), file]);
  }
  for (const list of files.values()) {
    list.sort((a, b) => (a.date === b.date ? a.part - b.part : a.date < b.date ? -1 : 1));
  }
  return files;
}

/** A whole line of a file and where it starts. */
export interface PlacedLine {
  readonly text: string;
  readonly start: number;
}

/** Whole lines from the start. A last line without its end is given only with `torn: true`. */
export async function* readLines(path: string, options: { torn?: boolean } = {}): AsyncGenerator<PlacedLine> {
  await using handle = await open(path, "r");
  let rest: Buffer = Buffer.alloc(0);
  let start = 0;
  for (let position = 0; ;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const data = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = data.indexOf(LINE_END); end >= 0; end = data.indexOf(LINE_END, from)) {
      yield { text: data.toString("utf8", from, end), start: start + from };
      from = end + 1;
    }
    rest = data.subarray(from);
    start += from;
  }
  if (options.torn === true && rest.length > 0) yield { text: rest.toString(), start };
}

/** Whole lines from the end. What follows the last line end is left out. */
export async function* readLinesBackwards(path: string): AsyncGenerator<PlacedLine> {
  await using handle = await open(path, "r");
  let position = (await handle.stat()).size;
  // Bytes between `position` and the start of the line given last; null until the last line end is found.
  let rest: Buffer | null = null;
  while (position > 0) {
    const begin = Math.max(0, position - CHUNK_BYTES);
    const chunk = Buffer.alloc(position - begin);
    await handle.read(chunk, 0, chunk.length, begin);
    let data: Buffer;
    if (rest === null) {
      const last = chunk.lastIndexOf(LINE_END);
      position = begin;
      if (last < 0) continue;
      data = chunk.subarray(0, last);
    } else {
      data = Buffer.concat([chunk, rest]);
      position = begin;
    }
    for (let end = data.lastIndexOf(LINE_END); end >= 0; end = data.lastIndexOf(LINE_END)) {
      yield { text: data.toString("utf8", end + 1), start: begin + end + 1 };
      data = data.subarray(0, end);
    }
    rest = data;
  }
  if (rest !== null) yield { text: rest.toString(), start: 0 };
}

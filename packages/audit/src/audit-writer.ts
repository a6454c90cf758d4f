import { join } from "node:path";
import type { AuditCategory } from "@rumi/core";
import { AppendFile } from "@rumi/safe-files";
import { auditFileName } from "./audit-files.ts";

/** A line that goes to one category's file of one day. */
export interface RoutedLine {
  readonly category: AuditCategory;
  /** UTC, `YYYY-MM-DD`. */
  readonly date: string;
  readonly line: string;
}

interface OpenFile {
  readonly date: string;
  readonly part: number;
  readonly file: AppendFile;
  dirty: boolean;
  /** Size to go back to before the next write, after a failed cut. */
  owed: number | null;
}

/** The open files of the log. Batches are written in chain order, so that a killed process leaves a whole beginning. */
export class AuditWriter implements AsyncDisposable {
  readonly #folder: string;
  readonly #maxPartBytes: number;
  /** Newest part per `<category>_<date>`. */
  readonly #parts: Map<string, number>;
  readonly #open = new Map<AuditCategory, OpenFile>();
  /** Files that a later one followed. They stay open until the batch that left them is on disk or taken back. */
  #left: OpenFile[] = [];

  constructor(folder: string, parts: ReadonlyMap<string, number>, maxPartBytes: number) {
    this.#folder = folder;
    this.#parts = new Map(parts);
    this.#maxPartBytes = maxPartBytes;
  }

  /** Writes all lines, or none: after an error the files are as they were. */
  async write(lines: readonly RoutedLine[], durable: boolean): Promise<void> {
    const sizes = new Map<OpenFile, number>();
    try {
      await this.#closeLeft();
      for (const run of inRuns(lines, Math.min(MAX_RUN_BYTES, this.#maxPartBytes))) {
        const target = await this.#target(run.category, run.date, run.bytes.length);
        if (target.owed !== null) await this.#cut(target, target.owed);
        if (!sizes.has(target)) sizes.set(target, target.file.size);
        target.dirty = true;
        await target.file.append(run.bytes);
      }
      await this.#closeLeft();
      if (durable) await this.sync();
    } catch (error) {
      for (const [target, size] of sizes) {
        target.owed = size;
        await this.#cut(target, size).catch(() => undefined);
      }
      throw error;
    }
  }

  /** Puts everything written so far on disk. */
  async sync(): Promise<void> {
    const dirty = [...this.#open.values()].filter((target) => target.dirty);
    await Promise.all(
      dirty.map(async (target) => {
        target.dirty = false;
        await target.file.sync().catch((error: unknown) => {
          target.dirty = true;
          throw error;
        });
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values(), ...this.#left].map((target) => target.file[Symbol.asyncDispose]()));
    this.#open.clear();
    this.#left = [];
  }

  async #target(category: AuditCategory, date: string, bytes: number): Promise<OpenFile> {
    const known = this.#open.get(category);
    if (known?.date === date && known.owed !== null) return known;
    if (known?.date === date && (known.file.size === 0 || known.file.size + bytes <= this.#maxPartBytes)) return known;
    let part = known?.date === date ? known.part + 1 : (this.#parts.get(`${category}_${date}`) ?? 0);
    let file = await this.#openFile(category, date, part);
    if (file.size > 0 && file.size + bytes > this.#maxPartBytes) {
      await file[Symbol.asyncDispose]();
      part += 1;
      file = await this.#openFile(category, date, part);
    }
    const target: OpenFile = { date, part, file, dirty: false, owed: null };
    if (known !== undefined) this.#left.push(known);
    this.#open.set(category, target);
    this.#parts.set(`${category}_${date}`, part);
    return target;
  }

  async #closeLeft(): Promise<void> {
    for (let target = this.#left.at(-1); target !== undefined; target = this.#left.at(-1)) {
      if (target.owed !== null) await this.#cut(target, target.owed);
      await target.file.sync();
      this.#left.pop();
      await target.file[Symbol.asyncDispose]();
    }
  }

  #openFile(category: AuditCategory, date: string, part: number): Promise<AppendFile> {
    return AppendFile.open(join(this.#folder, auditFileName(category, date, part)));
  }

  async #cut(target: OpenFile, size: number): Promise<void> {
    await target.file.cut(size);
    target.owed = null;
  }
}

interface Run {
  readonly category: AuditCategory;
  readonly date: string;
  readonly bytes: Buffer;
}

/** Bytes written at once; a run of one category longer than this is written in pieces, so that parts keep their size. */
const MAX_RUN_BYTES = 1024 * 1024;

/** Neighbours of one file share one write. */
function* inRuns(lines: readonly RoutedLine[], maxBytes: number): Generator<Run> {
  let first: RoutedLine | null = null;
  let texts: string[] = [];
  let bytes = 0;
  for (const routed of lines) {
    const sameFile = first?.category === routed.category && first.date === routed.date;
    if (first !== null && (!sameFile || bytes >= maxBytes)) {
      yield { category: first.category, date: first.date, bytes: Buffer.from(texts.join("")) };
      texts = [];
      bytes = 0;
    }
    first = routed;
    texts.push(`${routed.line}\n`);
    bytes += routed.line.length;
  }
  if (first !== null) yield { category: first.category, date: first.date, bytes: Buffer.from(texts.join("")) };
}

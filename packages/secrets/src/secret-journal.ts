import { join } from "node:path";
import { isJsonObject, isoTime, type Clock } from "@rumi/core";
import { AppendLog, parseJsonBytes, readFileBytes, SafeFilesError } from "@rumi/safe-files";

/** One line of `secrets/journal.jsonl` (page "Trust", section 9). Never a value. */
export interface JournalLine {
  readonly ts: string;
  readonly action: string;
  readonly key: string;
  readonly actor: string;
  readonly reason?: string;
}

const MAX_JOURNAL_BYTES = 256 * 1024 * 1024;

/** What happened to secrets, in order. */
export class SecretJournal implements AsyncDisposable {
  readonly #log: AppendLog;
  readonly #clock: Clock;

  private constructor(log: AppendLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Opens or makes the journal and tells what it holds; lines that are none are left out. */
  static async open(folder: string, clock: Clock): Promise<{ journal: SecretJournal; lines: readonly JournalLine[] }> {
    const path = join(folder, "journal.jsonl");
    const bytes = await readFileBytes(path, MAX_JOURNAL_BYTES).catch((error: unknown) => {
      if (error instanceof SafeFilesError) return Buffer.alloc(0);
      throw error;
    });
    const lines = bytes.toString("utf8").split("\n").flatMap(parseLine);
    return { journal: new SecretJournal(await AppendLog.open(path), clock), lines };
  }

  /** Adds a line, on disk when it resolves. @throws SafeFilesError `safe_files.log_failed` */
  async note(action: string, key: string, actor: string, reason?: string): Promise<void> {
    const line: JournalLine = { ts: isoTime(this.#clock.now()), action, key, actor, ...(reason === undefined ? {} : { reason }) };
    await this.#log.append(JSON.stringify(line), { durable: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#log.close();
  }
}

function parseLine(text: string): JournalLine[] {
  if (text === "") return [];
  try {
    const line = parseJsonBytes(Buffer.from(text));
    if (!isJsonObject(line)) return [];
    const { ts, action, key, actor, reason } = line;
    if (typeof ts !== "string" || typeof action !== "string" || typeof key !== "string" || typeof actor !== "string") return [];
    return [{ ts, action, key, actor, ...(typeof reason === "string" ? { reason } : {}) }];
  } catch {
    return [];
  }
}

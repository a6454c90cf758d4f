import { AppendFile } from "./append-file.ts";
import { SafeFilesError } from "./errors.ts";

interface Waiting {
  readonly bytes: Buffer;
  readonly durable: boolean;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * A journal of lines. Lines land in call order; those that wait together share one write and one disk flush. A batch
 * that cannot be written whole is taken back whole and every caller in it gets the error.
 */
export class AppendLog implements AsyncDisposable {
  readonly #file: AppendFile;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;
  #closed = false;
  /** A failed batch may have left bytes that must go before the next one. */
  #unclean = false;

  private constructor(file: AppendFile) {
    this.#file = file;
  }

  /** Opens or makes the log; a half-written last line of a crash is dropped. */
  static async open(path: string, options: { readonly mode?: number } = {}): Promise<AppendLog> {
    return new AppendLog(await AppendFile.open(path, options.mode));
  }

  /**
   * Adds one line (without its line end); resolves when it is written, or with `durable` when it is on disk.
   * @throws SafeFilesError `safe_files.log_failed`
   */
  append(line: string, options: { readonly durable: boolean }): Promise<void> {
    if (this.#closed) return Promise.reject(failed("the log is closed"));
    if (/[\r\n]/u.test(line)) return Promise.reject(failed("a line of a log holds a line end"));
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ bytes: Buffer.from(`${line}\n`), durable: options.durable, done });
    this.#writing ??= this.#drain();
    return done.promise;
  }

  /** Writes what waits, then closes the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writing;
    await this.#file[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    // Callers of this turn join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(batch);
        for (const { done } of batch) done.resolve();
      } catch (cause) {
        for (const { done } of batch) done.reject(failed("the log cannot be written", cause));
      }
    }
    this.#writing = null;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const { size } = this.#file;
    if (this.#unclean) await this.#file.cut(size);
    this.#unclean = true;
    try {
      await this.#file.append(Buffer.concat(batch.map(({ bytes }) => bytes)));
      if (batch.some(({ durable }) => durable)) await this.#file.sync();
    } catch (error) {
      await this.#file.cut(size);
      throw error;
    }
    this.#unclean = false;
  }
}

function failed(message: string, cause?: unknown): SafeFilesError {
  return new SafeFilesError("safe_files.log_failed", message, { cause });
}

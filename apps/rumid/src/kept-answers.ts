import { MIB } from "@rumi/core";
import type { RunAnswer } from "@rumi/flow-engine";

/** Ended runs whose whole answer is kept, and bytes of JSON kept over all of them. */
const MAX_ANSWERS = 100;
const MAX_BYTES = 64 * MIB;

/** Whole answers of ended runs, for those who asked without waiting; in memory, the oldest leave first. */
export class KeptAnswers {
  readonly #maxBytes: number;
  readonly #answers = new Map<string, { readonly answer: RunAnswer; readonly bytes: number }>();
  #bytes = 0;

  constructor(options: { readonly maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? MAX_BYTES;
  }

  add(answer: RunAnswer): void {
    const bytes = Buffer.byteLength(JSON.stringify(answer));
    this.#answers.set(answer.run_id, { answer, bytes });
    this.#bytes += bytes;
    for (const [oldest, kept] of this.#answers) {
      if (this.#answers.size <= MAX_ANSWERS && this.#bytes <= this.#maxBytes) break;
      this.#answers.delete(oldest);
      this.#bytes -= kept.bytes;
    }
  }

  /** The answer of a run, or null when it is not kept or not any more. */
  of(runId: string): RunAnswer | null {
    return this.#answers.get(runId)?.answer ?? null;
  }
}

import { Writable } from "node:stream";

interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
}

/** What a command prints, up to so many bytes of each stream: the first ones, or the newest. */
export class KeptOutput {
  readonly #maxBytes: number;
  readonly #keep: "first" | "newest";
  readonly #now: () => number;
  readonly #pieces = { stdout: [] as Piece[], stderr: [] as Piece[] };
  readonly #bytes = { stdout: 0, stderr: 0 };

  constructor(maxBytes: number, keep: "first" | "newest", now: () => number) {
    this.#maxBytes = maxBytes;
    this.#keep = keep;
    this.#now = now;
  }

  /** Takes one stream in. */
  sink(name: "stdout" | "stderr"): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#take(name, chunk);
        done();
      },
    });
  }

  /** The text of one stream since `sinceMs`, its last `tail` lines. */
  text(name: "stdout" | "stderr", range: { readonly tail?: number; readonly sinceMs?: number } = {}): string {
    const { tail, sinceMs = 0 } = range;
    const text = Buffer.concat(this.#pieces[name].filter((piece) => piece.at >= sinceMs).map((piece) => piece.bytes)).toString("utf8");
    if (tail === undefined) return text;
    const lines = text.split("\n");
    const end = lines.at(-1) === "" ? lines.length - 1 : lines.length;
    return lines.slice(Math.max(0, end - tail)).join("\n");
  }

  #take(name: "stdout" | "stderr", chunk: Buffer): void {
    const pieces = this.#pieces[name];
    const room = this.#maxBytes - this.#bytes[name];
    // A copy: the chunk is a view of a larger buffer that would be held as well.
    const bytes = this.#keep === "first" ? Buffer.from(chunk.subarray(0, Math.max(0, room))) : Buffer.from(chunk.subarray(-this.#maxBytes));
    if (bytes.length === 0) return;
    pieces.push({ at: this.#now(), bytes });
    this.#bytes[name] += bytes.length;
    while (this.#bytes[name] > this.#maxBytes) this.#bytes[name] -= pieces.shift()?.bytes.length ?? this.#bytes[name];
    // Many tiny writes: one entry each would cost more than the bytes themselves.
    if (pieces.length > MAX_PIECES) pieces.splice(0, 2, join(pieces[0], pieces[1]));
  }
}

const MAX_PIECES = 4_096;

function join(a: Piece | undefined, b: Piece | undefined): Piece {
  return { at: b?.at ?? 0, bytes: Buffer.concat([a?.bytes ?? Buffer.alloc(0), b?.bytes ?? Buffer.alloc(0)]) };
}

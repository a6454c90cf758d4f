import type { JsonObject } from "@rumi/core";

/** One event of a stream. A client sends the last `id` it got to go on after it; an event without one says how the stream ends. */
export interface StreamEvent {
  readonly id?: number;
  readonly event: string;
  readonly data: JsonObject;
}

/** What ends a stream from outside, asked again and again while it is open. Null: nothing does. */
export type StreamEnding = "token.expired" | "daemon.stopping" | null;

/** An answer that goes on: its events as they happen. `open` is called once, its signal aborts when nobody listens any more. */
export class EventStream {
  readonly open: (signal: AbortSignal) => AsyncIterable<StreamEvent>;

  constructor(open: (signal: AbortSignal) => AsyncIterable<StreamEvent>) {
    this.open = open;
  }
}

/** How many streams each token has open. */
export class StreamSlots {
  readonly #most: number;
  readonly #open = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes a slot; the answer gives it back, once. Null when the token has none left. */
  take(tokenId: string): (() => void) | null {
    const open = this.#open.get(tokenId) ?? 0;
    if (open >= this.#most) return null;
    this.#open.set(tokenId, open + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#open.get(tokenId) ?? 1) - 1;
      if (left > 0) this.#open.set(tokenId, left);
      else this.#open.delete(tokenId);
    };
  }
}

export interface StreamBodyOptions {
  /** Asked before each event and every `lookMs`. */
  readonly ending: () => StreamEnding;
  readonly lookMs: number;
  /** A comment is sent after so long without an event, so that whoever is between does not cut. */
  readonly commentMs: number;
  /** Last look at each event's data before it leaves. */
  readonly clean: (data: unknown) => unknown;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Called once when the stream is over, however. */
  readonly done: () => void;
}

/** A stream as the body of an answer. Events are taken from the source as the client takes them; nothing piles up. */
export function streamBody(stream: EventStream, options: StreamBodyOptions): ReadableStream<Uint8Array> {
  const { ending, lookMs, commentMs, clean, now, done } = options;
  const gone = new AbortController();
  const events = stream.open(gone.signal)[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<StreamEvent>> | null = null;
  let sentAt = now();
  const over = (): void => {
    gone.abort();
    void events.return?.()?.catch(() => undefined);
    done();
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      // The headers leave with it, though nothing may happen for long.
      controller.enqueue(COMMENT);
    },
    async pull(controller) {
      for (;;) {
        const end = ending();
        if (end !== null) {
          controller.enqueue(frame({ event: end, data: {} }));
          controller.close();
          over();
          return;
        }
        next ??= events.next();
        const taken = await within(next, lookMs).catch((error: unknown) => {
          over();
          throw error;
        });
        if (taken === null) {
          if (now() - sentAt < commentMs) continue;
          sentAt = now();
          controller.enqueue(COMMENT);
          return;
        }
        next = null;
        if (taken.done === true) {
          // The source ends of its own accord when the daemon stops, before anybody asked.
          const last = ending();
          if (last !== null) controller.enqueue(frame({ event: last, data: {} }));
          controller.close();
          over();
          return;
        }
        if (ending() !== null) continue;
        sentAt = now();
        controller.enqueue(frame({ ...taken.value, data: clean(taken.value.data) as JsonObject }));
        return;
      }
    },
    cancel: over,
  });
}

const ENCODER = new TextEncoder();
const COMMENT = ENCODER.encode(":\n\n");

function frame({ id, event, data }: StreamEvent): Uint8Array {
  return ENCODER.encode(`${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** What comes within `ms`, or null. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

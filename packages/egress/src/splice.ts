import type { Duplex } from "node:stream";

/** How much went through, and why it ended. */
export interface Spliced {
  readonly sent: number;
  readonly received: number;
  readonly ended: "closed" | "too_much" | "idle" | "stopped";
}

/** Limits of one splice. */
export interface SpliceLimits {
  /** Bytes each way. */
  readonly maxBytes: number;
  /** How long both ways may be silent. */
  readonly idleMs: number;
}

/** Passes bytes both ways until one side ends, a limit is met or `signal` aborts. Both sides are closed then. Never rejects. */
export function splice(client: Duplex, upstream: Duplex, limits: SpliceLimits, signal: AbortSignal): Promise<Spliced> {
  return new Promise((resolve) => {
    let sent = 0;
    let received = 0;
    let done = false;
    let timer: NodeJS.Timeout | undefined;
    const finish = (ended: Spliced["ended"]): void => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      client.destroy();
      upstream.destroy();
      resolve({ sent, received, ended });
    };
    const stop = (): void => finish("stopped");
    const awake = (): void => {
      if (timer === undefined) timer = setTimeout(() => finish("idle"), limits.idleMs);
      else timer.refresh();
    };
    const pass = (from: Duplex, to: Duplex, count: (bytes: number) => number): void => {
      from.on("data", (chunk: Uint8Array) => {
        if (done) return;
        awake();
        if (count(chunk.length) > limits.maxBytes) return finish("too_much");
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => from.resume());
      from.once("end", () => {
        if (!done && !to.writableEnded) to.end();
      });
      from.once("error", () => finish("closed"));
      from.once("close", () => finish("closed"));
      if (from.destroyed) finish("closed");
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    awake();
    pass(client, upstream, (bytes) => (sent += bytes));
    pass(upstream, client, (bytes) => (received += bytes));
    client.resume();
    upstream.resume();
  });
}

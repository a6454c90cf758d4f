import { Writable } from "node:stream";
import type { JobResult, JobSpec } from "@rumi/sandbox";
import type { ContainerBody } from "./container-body.ts";
import type { Engine } from "./engine.ts";

/** How long after a job's end its last output is waited for. */
const OUTPUT_GRACE_MS = 1_000;

/** Exit code told for a job that was killed. */
const KILLED = 137;

/** Keeps the first bytes of a job's output, counted over both streams. */
class OutputCap {
  readonly #maxBytes: number;
  #bytes = 0;
  truncated = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  sink(): { readonly stream: Writable; text(): string } {
    const kept: Buffer[] = [];
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        const part = chunk.subarray(0, Math.max(0, this.#maxBytes - this.#bytes));
        this.#bytes += part.length;
        if (part.length < chunk.length) this.truncated = true;
        if (part.length > 0) kept.push(Buffer.from(part));
        done();
      },
    });
    return { stream, text: () => Buffer.concat(kept).toString("utf8") };
  }
}

/** Runs one command in a container of its own to its end, its deadline or `signal`. Nothing is left after. @throws EngineError */
export async function runJob(engine: Engine, name: string, body: ContainerBody, spec: JobSpec, signal: AbortSignal): Promise<JobResult> {
  const containerId = await engine.create(name, body);
  const watch = new AbortController();
  let timedOut = false;
  const kill = (): void => void engine.kill(containerId).catch(() => {});
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, spec.timeout_ms);
  signal.addEventListener("abort", kill, { once: true });
  try {
    const cap = new OutputCap(spec.max_output_bytes);
    const stdout = cap.sink();
    const stderr = cap.sink();
    const output = await engine.attach(containerId);
    const ended = new Promise<void>((resolve) => {
      output
        .on("end", resolve)
        .on("close", resolve)
        .on("error", () => resolve());
    });
    engine.demux(output, stdout.stream, stderr.stream);
    const exit = engine.nextExit(containerId, watch.signal);
    if (!signal.aborted) await engine.start(containerId);
    const end = signal.aborted ? { kind: "unknown" as const } : await exit;
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, OUTPUT_GRACE_MS))]);
    const code = end.kind === "exited" ? end.code : KILLED;
    return {
      exit_code: code,
      stdout: stdout.text(),
      stderr: stderr.text(),
      truncated: cap.truncated,
      timed_out: timedOut,
      oom_killed: code === KILLED && !timedOut && (await engine.wasOomKilled(containerId)),
    };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", kill);
    watch.abort();
    await engine.remove(containerId);
  }
}

// One call process as the runner sees it: its pid, its end of fd 3, its log pipes.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FrameReader, joinFrame } from "./frames.mjs";
import { kill, removeTree } from "./hygiene.mjs";

const WORKER = fileURLToPath(new URL("./worker.mjs", import.meta.url));
const FLAGS = ["--disable-sigusr1", "--no-warnings"];
const LAST_READ_BYTES = 64 * 1024;
const MAX_LAST_READS = 16;
const HEAP_EXHAUSTED = "JavaScript heap out of memory";

export class CallProcess {
  call = null;
  /** Nothing it says counts any more. */
  ended = false;
  /** Dead and reaped. */
  gone = false;
  heapExhausted = false;
  #child;
  #reader;
  #on;
  #temporary = null;

  /** `on` has `answer(process, frame)`, `log(process, stream, bytes)`, `broken(process, error)`, `exit(process, code, signal)`. */
  constructor(settings, warmTypeScript, checkSize, on) {
    const base = settings.temporary[0] ?? null;
    if (base !== null) this.#temporary = [base, `call-${randomBytes(8).toString("hex")}`];
    const setup = JSON.stringify({
      pack: settings.pack,
      nodeModules: settings.nodeModules,
      temporary: base,
      own: this.#temporary?.[1] ?? null,
      reuse: settings.reuse,
      warmTypeScript,
    });
    this.#child = spawn(process.execPath, [...FLAGS, WORKER, setup], { detached: true, stdio: ["ignore", "pipe", "pipe", "pipe"] });
    this.pid = this.#child.pid;
    this.#reader = new FrameReader((size) => checkSize(this, size));
    this.#on = on;
    const [, out, err, channel] = this.#child.stdio;
    channel.on("data", (chunk) => this.#answered(chunk));
    channel.on("end", () => on.broken(this, null));
    out.on("data", (bytes) => on.log(this, "stdout", bytes));
    err.on("data", (bytes) => this.#printedError(bytes));
    for (const stream of [out, err, channel]) stream.on("error", () => {});
    this.#child.on("error", () => on.exit(this, null, null));
    this.#child.on("exit", (code, signal) => {
      this.#drain(channel, (bytes) => this.#answered(bytes));
      on.exit(this, code, signal);
    });
  }

  #answered(chunk) {
    if (this.ended) return;
    try {
      for (const frame of this.#reader.push(chunk)) this.#on.answer(this, frame);
    } catch (error) {
      this.#on.broken(this, error);
    }
  }

  #printedError(bytes) {
    if (bytes.includes(HEAP_EXHAUSTED)) this.heapExhausted = true;
    this.#on.log(this, "stderr", bytes);
  }

  /** Reads what is in a pipe now, without waiting for the event loop to come by. */
  #drain(stream, take) {
    const fd = stream._handle?.fd ?? -1;
    for (let turn = 0; fd >= 0 && turn < MAX_LAST_READS; turn += 1) {
      const buffer = Buffer.allocUnsafe(LAST_READ_BYTES);
      let count;
      try {
        count = readSync(fd, buffer, 0, LAST_READ_BYTES, null);
      } catch {
        return;
      }
      if (count === 0) return;
      take(buffer.subarray(0, count));
    }
  }

  /** Hands the call over as it came. */
  begin(raw, payload) {
    const channel = this.#child.stdio[3];
    const parts = joinFrame(raw, payload);
    if (parts.length > 1) channel.cork();
    for (const part of parts) channel.write(part);
    if (parts.length > 1) channel.uncork();
  }

  /** Passes on what is still in the log pipes. */
  drainLogs() {
    const [, out, err] = this.#child.stdio;
    this.#drain(out, (bytes) => this.#on.log(this, "stdout", bytes));
    this.#drain(err, (bytes) => this.#printedError(bytes));
  }

  signal(name) {
    if (this.pid !== undefined) kill(-this.pid, name);
  }

  kill() {
    this.signal("SIGKILL");
  }

  /** The folder its call was given, which no later call needs. */
  removeTemporary() {
    if (this.#temporary !== null) removeTree(...this.#temporary);
    this.#temporary = null;
  }

  close() {
    for (const stream of this.#child.stdio) stream?.destroy();
  }
}

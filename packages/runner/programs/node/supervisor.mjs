// Process 1 of a Node instance: it starts call processes, carries bytes between them and the host, ends them, and clears
// away what they left. It never runs a line of the pack.
import { CallProcess } from "./call-process.mjs";
import { encodeFrame, FrameError, FrameReader } from "./frames.mjs";
import { childrenOf, kill, OomKills, wipe } from "./hygiene.mjs";
import { PROTOCOL, readHello } from "./settings.mjs";

const TICK_MS = 100;
const REFILL_DELAY_MS = 20;
const LEFTOVER_MS = 500;
const SPAWN_PAUSE_MS = 100;
const MAX_HOST_BACKLOG = 1024 * 1024;
// What a piece counts beside its bytes, so that many small ones cannot flood the host; the first ones are free of it.
const CHUNK_COST = 16;
const MAX_FREE_CHUNKS = 4096;
const MAX_TEXT = 16384;
// Texts are dropped when a header would grow too long with them.
const MAX_RESULT_HEADER_BYTES = 60 * 1024;
const WORDY_FIELDS = ["warnings", "traceback", "message", "exception_type"];
const MAX_WARNINGS = 32;
const ANSWERS = new Set(["ok", "block_error", "module_load_error", "no_run_function", "invalid_output", "response_too_large"]);
const CANCELLED = Object.freeze({ kind: "cancelled", message: "cancelled" });
const TIMEOUT = Object.freeze({ kind: "timeout", message: "the call did not end by its deadline" });
const TYPESCRIPT = /\.[cm]?ts$/u;

class ResultTooLarge extends Error {}

export class Supervisor {
  #input;
  #output;
  #settings = null;
  #reader;
  #spares = [];
  #calls = new Map();
  #waiting = [];
  /** Ended call processes that are not reaped yet. */
  #dying = new Set();
  #draining = false;
  #faulted = false;
  #typeScript = false;
  #spawnAgainAt = 0;
  #refillTimer = null;
  #tick = null;
  #oom = new OomKills();
  #relay;
  #warnings;

  /** `relay`: the forward proxy, or null. `warnings` are told to the host with `ready`. */
  constructor({ input, output }, relay, warnings) {
    this.#input = input;
    this.#output = output;
    this.#relay = relay;
    this.#warnings = warnings;
    this.#reader = new FrameReader((size) => {
      if (this.#settings === null || size > this.#settings.maxPayloadBytes) throw new FrameError("a payload is over its limit");
    });
  }

  run() {
    this.#input.on("data", (chunk) => {
      try {
        for (const { header, raw, payload } of this.#reader.push(chunk)) this.#onMessage(header, raw, payload);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        this.#fault("protocol_error", error.message);
        this.#leave();
      }
    });
    for (const event of ["end", "close", "error"]) this.#input.on(event, () => this.#exit());
    if (this.#output !== this.#input) this.#output.on("error", () => this.#exit());
  }

  // -- the host -----------------------------------------------------------------------------------------------------

  #onMessage(header, raw, payload) {
    if (this.#settings === null) {
      this.#settings = readHello(header);
      this.#send({
        type: "ready",
        protocol: PROTOCOL,
        runtime_version: process.versions.node,
        warnings: [...this.#warnings, ...warnings()],
      });
      this.#refill();
      return;
    }
    switch (header.type) {
      case "call":
        this.#onCall(header, raw, payload);
        return;
      case "cancel":
        this.#onCancel(header.call_id);
        return;
      case "ping":
        this.#send({ type: "pong", n: header.n });
        return;
      case "drain":
        this.#draining = true;
        this.#leaveWhenDone();
        return;
      default:
        throw new FrameError("unknown message");
    }
  }

  #send(header, payload) {
    const parts = encodeFrame(header, payload);
    if (parts.length > 1) this.#output.cork();
    for (const part of parts) this.#output.write(part);
    if (parts.length > 1) this.#output.uncork();
  }

  #fault(code, message) {
    if (this.#faulted) return;
    this.#faulted = true;
    this.#send({ type: "fault", code, message });
  }

  #leave() {
    this.#output.end(() => this.#exit());
  }

  #leaveWhenDone() {
    if (this.#draining && this.#calls.size === 0 && this.#waiting.length === 0) this.#leave();
  }

  #exit() {
    for (const process of [...this.#calls.values(), ...this.#spares, ...this.#dying]) process.kill();
    if (process.pid === 1) kill(-1);
    if (this.#settings !== null) wipe(this.#settings.temporary, this.#settings.temporaryModes);
    process.exit(0);
  }

  // -- calls --------------------------------------------------------------------------------------------------------

  #onCall(header, raw, payload) {
    const { call_id: id, timeout_ms: timeout, max_result_bytes: limit, max_log_bytes: log } = header;
    if (this.#draining || typeof id !== "string" || this.#calls.has(id)) throw new FrameError("a call that may not be");
    if (![timeout, limit, log].every(Number.isSafeInteger)) throw new FrameError("a call without limits");
    const call = { id, raw, payload, limit, logLeft: log, dropped: 0, chunked: 0, cancelled: false, timer: null, announced: false };
    call.timer = setTimeout(() => this.#onDeadline(call), timeout);
    if (TYPESCRIPT.test(header.file)) this.#typeScript = true;
    this.#waiting.push(call);
    this.#startWaiting();
    if (this.#waiting.includes(call)) call.announced = true;
  }

  /** Starts what can be started, also after a fault: the host counts on a result. With no call in flight, the last ones' rests go first. */
  #startWaiting() {
    while (this.#waiting.length > 0 && this.#calls.size < this.#settings.slots) {
      if (this.#calls.size === 0 && this.#dying.size > 0) return;
      const process = this.#spares.shift() ?? this.#spawn();
      if (process === null) {
        // With nothing of a call left that could hold it up it will not get better.
        if (this.#calls.size === 0) {
          this.#fault("start_failed", "no process could be started for a call");
          this.#leave();
        }
        return;
      }
      const call = this.#waiting.shift();
      if (call.announced) this.#send({ type: "started", call_id: call.id });
      process.call = call;
      this.#calls.set(call.id, process);
      process.begin(call.raw, call.payload);
      call.raw = call.payload = null;
      this.#tick ??= setInterval(() => this.#onTick(), TICK_MS);
      this.#refillLater();
    }
  }

  #onDeadline(call) {
    const process = this.#calls.get(call.id);
    const result = call.cancelled ? CANCELLED : TIMEOUT;
    if (process !== undefined) this.#end(process, result);
    else this.#withdraw(call, result);
  }

  #onCancel(id) {
    const process = this.#calls.get(id);
    const call = process?.call ?? this.#waiting.find((waiting) => waiting.id === id);
    if (call === undefined || call.cancelled) return;
    call.cancelled = true;
    if (process === undefined) {
      this.#withdraw(call, CANCELLED);
      return;
    }
    clearTimeout(call.timer);
    call.timer = setTimeout(() => this.#onDeadline(call), this.#settings.cancelGraceMs);
    process.signal("SIGTERM");
  }

  #withdraw(call, result) {
    this.#waiting.splice(this.#waiting.indexOf(call), 1);
    this.#result(call, result);
  }

  #onAnswer(process, { header, payload }) {
    const call = process.call;
    if (call === null) throw new FrameError("an answer without a call");
    if (header.kind === "chunk") {
      if (payload.length === 0) throw new FrameError("a piece without bytes");
      call.chunked += payload.length + CHUNK_COST;
      if (call.chunked > call.limit + CHUNK_COST * MAX_FREE_CHUNKS) throw new ResultTooLarge();
      process.drainLogs();
      this.#send({ type: "chunk", call_id: call.id }, payload);
      return;
    }
    if (!ANSWERS.has(header.kind)) throw new FrameError("an answer of unknown kind");
    if (call.cancelled) this.#end(process, CANCELLED);
    else this.#finish(process, answerOf(header), header.kind === "ok" ? payload : undefined);
  }

  #onBroken(process, error) {
    if (process.ended) return;
    const call = process.call;
    if (error === null || call === null) {
      // Its stream ended. If it is not dead already it may not live on; how it died is told by its exit.
      process.kill();
      return;
    }
    if (error instanceof ResultTooLarge) {
      this.#end(process, { kind: "response_too_large", message: `the result is over ${call.limit} bytes` });
    } else if (error instanceof FrameError) {
      this.#end(process, { kind: "protocol_error", message: error.message });
    } else {
      throw error;
    }
  }

  #onExit(process, code, signal) {
    process.gone = true;
    process.kill();
    if (process.call !== null && !process.ended) this.#end(process, this.#deathOf(process, code, signal));
    process.removeTemporary();
    if (this.#dying.delete(process)) process.afterwards?.();
    const index = this.#spares.indexOf(process);
    if (index >= 0) this.#spares.splice(index, 1);
    process.close();
    this.#clear();
  }

  /** A call that answered. Its result goes out at once, unless it has children: then they die first. */
  #finish(process, result, payload) {
    if (!this.#settings.reuse) {
      const free = childrenOf(process.pid).length === 0 && !this.#hasUnknown(process.pid);
      if (!free) {
        this.#end(process, result, payload);
        return;
      }
      process.kill();
    }
    process.drainLogs();
    const call = this.#release(process);
    this.#result(call, result, payload);
    if (this.#settings.reuse) {
      this.#spares.push(process);
      if (this.#calls.size === 0) this.#relay?.endAll();
    } else this.#dying.add(process);
    process.ended = !this.#settings.reuse;
    this.#startWaiting();
    this.#leaveWhenDone();
  }

  /** A call that must end now: everything of it is dead before its result goes out. */
  #end(process, result, payload) {
    process.ended = true;
    process.kill();
    process.drainLogs();
    const call = process.call;
    clearTimeout(call.timer);
    const answer = () => {
      this.#release(process);
      this.#sweep();
      this.#result(call, result, payload);
      this.#leaveWhenDone();
    };
    if (process.gone) {
      answer();
      return;
    }
    this.#dying.add(process);
    process.afterwards = answer;
    setTimeout(() => {
      if (process.gone) return;
      this.#fault("leftovers", "a call could not be ended");
      answer();
    }, LEFTOVER_MS).unref();
  }

  #release(process) {
    const call = process.call;
    process.call = null;
    this.#calls.delete(call.id);
    return call;
  }

  #result(call, result, payload) {
    clearTimeout(call.timer);
    const dropped = call.dropped > 0 ? { log_dropped: call.dropped } : {};
    const header = { type: "result", call_id: call.id, ...result, ...dropped };
    if (Buffer.byteLength(JSON.stringify(header)) > MAX_RESULT_HEADER_BYTES) for (const name of WORDY_FIELDS) delete header[name];
    this.#send(header, payload);
  }

  #deathOf(process, code, signal) {
    if (process.call.cancelled) return CANCELLED;
    if (signal === "SIGKILL" && this.#oom.grew()) {
      return { kind: "oom_killed", signal, message: "the block used more memory than its instance has" };
    }
    if (signal === "SIGABRT" && process.heapExhausted) {
      return { kind: "oom_killed", signal, message: "the block used more memory than its JavaScript heap has" };
    }
    if (signal !== null) return { kind: "crashed", signal, message: `the block's process was ended by ${signal} before it answered` };
    return { kind: "crashed", exit_code: code ?? -1, message: `the block's process ended with code ${code} before it answered` };
  }

  // -- hygiene ------------------------------------------------------------------------------------------------------

  /** After a process is reaped: with no call in flight nothing may be left. */
  #clear() {
    if (this.#calls.size === 0 && this.#dying.size === 0) {
      this.#relay?.endAll();
      this.#sweep();
      wipe(this.#settings.temporary, this.#settings.temporaryModes);
      if (this.#tick !== null) clearInterval(this.#tick);
      this.#tick = null;
    }
    this.#startWaiting();
    this.#refillLater();
  }

  #onTick() {
    this.#sweep();
  }

  /** Kills orphans. A dead one cannot be reaped by Node, so the instance has to go. */
  #sweep() {
    const unknown = this.#unknown();
    if (unknown.length === 0) return;
    for (const pid of unknown) kill(pid);
    this.#fault("leftovers", "processes that a call left behind");
  }

  #hasUnknown() {
    return this.#unknown().length > 0;
  }

  #unknown() {
    if (process.pid !== 1) return [];
    const known = new Set([...this.#spares, ...this.#calls.values(), ...this.#dying].map((entry) => entry.pid));
    return childrenOf(1).filter((pid) => !known.has(pid));
  }

  // -- call processes -----------------------------------------------------------------------------------------------

  /** Starting a process takes this one's time: it waits until a call is done, or has shown that it takes long. */
  #refillLater() {
    const pause = this.#spawnAgainAt - performance.now();
    if (pause > 0) {
      this.#refillTimer ??= setTimeout(() => {
        this.#refillTimer = null;
        this.#refill();
        this.#refillLaterIfShort();
      }, pause + 1);
      return;
    }
    if (this.#spares.length === 0 && this.#waiting.length > 0) {
      this.#refill();
      return;
    }
    this.#refillTimer ??= setTimeout(
      () => {
        this.#refillTimer = null;
        this.#refill();
      },
      this.#calls.size === 0 ? 0 : REFILL_DELAY_MS,
    );
  }

  #refillLaterIfShort() {
    if (this.#spares.length < this.#settings.spares || this.#waiting.length > 0) this.#refillLater();
  }

  #refill() {
    const serving = this.#settings.reuse ? this.#calls.size : 0;
    while (this.#spares.length + serving < this.#settings.spares && !this.#faulted) {
      const process = this.#spawn();
      if (process === null) return;
      this.#spares.push(process);
    }
    this.#startWaiting();
  }

  /** Null when the instance has no room for one more now: the next try comes later, or its failures would outrun everything. */
  #spawn() {
    if (this.#calls.size > 0 && performance.now() < this.#spawnAgainAt) return null;
    const process = new CallProcess(this.#settings, this.#typeScript, (owner, size) => this.#checkSize(owner, size), {
      answer: (owner, frame) => this.#onAnswer(owner, frame),
      broken: (owner, error) => this.#onBroken(owner, error),
      exit: (owner, code, signal) => this.#onExit(owner, code, signal),
      log: (owner, stream, bytes) => this.#onLog(owner, stream, bytes),
    });
    if (process.pid !== undefined) return process;
    this.#spawnAgainAt = performance.now() + SPAWN_PAUSE_MS;
    return null;
  }

  #checkSize(process, size) {
    if (process.call === null) throw new FrameError("an answer without a call");
    if (size > process.call.limit) throw new ResultTooLarge();
  }

  #onLog(process, stream, bytes) {
    const call = process.call;
    if (call === null) return;
    const room = this.#output.writableLength > MAX_HOST_BACKLOG ? 0 : call.logLeft;
    const kept = bytes.length <= room ? bytes : bytes.subarray(0, room);
    call.dropped += bytes.length - kept.length;
    call.logLeft -= kept.length;
    if (kept.length > 0) this.#send({ type: "log", call_id: call.id, stream }, kept);
  }
}

/** What of a call process's answer is passed on. */
function answerOf(header) {
  const result = { kind: header.kind };
  for (const name of ["message", "exception_type", "traceback"]) {
    if (typeof header[name] === "string" && header[name].length <= MAX_TEXT) result[name] = header[name];
  }
  if (header.streaming === true) result.streaming = true;
  const notes = header.warnings;
  if (Array.isArray(notes) && notes.length <= MAX_WARNINGS && notes.every((note) => typeof note === "string" && note.length <= 1000)) {
    result.warnings = notes;
  }
  return result;
}

function warnings() {
  const found = [];
  if (process.platform === "linux" && process.pid === 1 && childrenOf(1) === null) {
    found.push("the kernel does not list children: leftovers of a call may go unseen");
  }
  return found;
}

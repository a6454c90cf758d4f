import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isoTime, MAX_RESPONSE_BYTES, RumiError } from "@rumi/core";
import type { Clock, Digest, ExecutionMode, JsonObject, Logger, PackId, Random } from "@rumi/core";
import type { InstanceLimits, Isolation, LogLine, Mount, RunResult, Runtime, Sandbox } from "@rumi/sandbox";
import { measureData, openDataFolder } from "./data-folder.ts";
import type { LibFile, LibType, PackLib } from "./lib-files.ts";
import {
  DATA_WATCH_MS,
  LIB_TIMEOUT_MS,
  MAX_DATA_BYTES,
  MAX_KEPT_CHARS,
  MAX_KEPT_LINE_CHARS,
  MAX_KEPT_LINES,
  MAX_LOG_BYTES,
} from "./limits.ts";
import type { LibGate } from "./ports.ts";

/** Where the approved bytes and the data stand inside. */
const PACK_TARGET = "/pack";
const DATA_TARGET = "/data";

/** Ends that are not the pack's doing: they count towards no giving up. */
const NOT_ITS_OWN: ReadonlySet<RunResult["kind"]> = new Set(["cancelled", "instance_lost"]);

export interface LibCallDeps {
  readonly gate: LibGate;
  readonly sandbox: Sandbox;
  /** The sandbox serves and has the runtime's image. @throws RumiError */
  readonly admit: (runtime: Runtime) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes live secrets out of what a lib printed, gave or raised. */
  readonly redact?: (text: string) => string;
}

export interface LibCallOptions {
  /** The daemon's `user_data`. */
  readonly userData: string;
  readonly limits: InstanceLimits;
  /** How often `/data` is measured meanwhile. Default: `DATA_WATCH_MS`. */
  readonly watchMs?: number;
}

/** One run to be made. */
export interface LibCall {
  readonly pack_id: PackId;
  /** Of the pack's bytes that `lib` was found in. */
  readonly digest: Digest;
  readonly lib: Pick<PackLib, "folder">;
  readonly lib_type: LibType;
  readonly file: LibFile;
}

/** How a run ended. Texts are redacted. */
export interface LibCallEnd {
  /** Null: it ended well. */
  readonly error: string | null;
  /** A failure that is the pack's own. */
  readonly counts: boolean;
  /** What it gave, as JSON text, at most 4 Ki characters; null when it gave nothing. */
  readonly output: string | null;
  /** The last lines it printed. */
  readonly log: readonly string[];
  readonly duration_ms: number;
  /** Of `/data` afterwards. */
  readonly data_bytes: number;
  readonly execution_mode: ExecutionMode;
}

/** Runs a lib once: in an instance that is made for it, with its pack's `/data` to write and nothing else. */
export class LibCaller {
  readonly #deps: LibCallDeps;
  readonly #options: LibCallOptions;

  constructor(deps: LibCallDeps, options: LibCallOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @throws RumiError of a gate or of the sandbox: nothing of the pack ran */
  async run(call: LibCall, signal: AbortSignal): Promise<LibCallEnd> {
    const { sandbox, admit } = this.#deps;
    const startedAt = this.#deps.clock.monotonic();
    await this.#verified(call);
    await admit(call.file.runtime);
    const data = await openDataFolder(this.#options.userData, call.pack_id);
    const { isolation } = await sandbox.probe();
    // The operator may have said no while the sandbox was asked.
    const root = await this.#verified(call);
    const before = await measureData(data, Number.MAX_SAFE_INTEGER);
    const log: string[] = [];
    const result = await this.#inInstance(call, { root, data, isolation, ceiling: Math.max(MAX_DATA_BYTES, before.bytes) }, log, signal);
    const after = await measureData(data, MAX_DATA_BYTES);
    const error = this.#error(result, after.problem);
    return {
      error,
      // What was ended for its size was ended for what it did.
      counts: error !== null && (after.problem !== null || !NOT_ITS_OWN.has(result.kind)),
      output: result.kind === "ok" && result.value !== null ? this.#kept(JSON.stringify(result.value)) : null,
      log,
      duration_ms: Math.round(this.#deps.clock.monotonic() - startedAt),
      data_bytes: after.bytes,
      execution_mode: isolation === "none" ? "host_permissive" : "container",
    };
  }

  /** The snapshot's folder, its bytes just checked. */
  async #verified({ pack_id: pack, digest }: LibCall): Promise<string> {
    const verified = await this.#deps.gate.verifySnapshot(pack, digest);
    const passed = verified.allowed ? this.#deps.gate.gate(pack, digest) : verified;
    if (passed.allowed) return passed.root;
    throw new RumiError(passed.code, passed.reason, passed.remedy === undefined ? {} : { remedy: passed.remedy });
  }

  async #inInstance(call: LibCall, place: Place, log: string[], signal: AbortSignal): Promise<RunResult> {
    const { sandbox, random, logger } = this.#deps;
    const id = random.hex(16);
    const instance = await sandbox.start(
      {
        instance_id: id,
        purpose: "lib",
        pack_id: call.pack_id,
        digest: call.digest,
        runtime: call.file.runtime,
        authority: call.pack_id,
        mounts: mountsOf(place),
        sockets: {},
        limits: this.#options.limits,
        env: {},
        reuse: false,
        slots: 1,
      },
      signal,
    );
    const over = new AbortController();
    const watching = new AbortController();
    const watch = this.#watch(place, over, watching.signal);
    try {
      return await sandbox.run(
        instance,
        {
          call_id: id,
          convention: "lib",
          file: call.file.file,
          function: null,
          input: null,
          context: this.#context(call, place),
          timeout_ms: LIB_TIMEOUT_MS,
          max_result_bytes: MAX_RESPONSE_BYTES,
          max_log_bytes: MAX_LOG_BYTES,
          on_log: (line) => this.#keep(log, line),
        },
        AbortSignal.any([signal, over.signal]),
      );
    } finally {
      watching.abort();
      await watch;
      await sandbox.stop(instance).catch((cause: unknown) => {
        logger.log("error", "a lib's instance could not be removed; the next sweep tries again", { error: String(cause) });
      });
    }
  }

  #context({ pack_id, lib_type, lib }: LibCall, { root, data, isolation }: Place): JsonObject {
    const ts = isoTime(this.#deps.clock.now());
    // Without walls there are no places inside: the folders are where the host has them.
    if (isolation === "none") return { pack_id, lib_type, ts, lib_dir: join(root, lib.folder), data_dir: data };
    return { pack_id, lib_type, ts, lib_dir: `${PACK_TARGET}/${lib.folder}`, data_dir: DATA_TARGET };
  }

  /** Ends a run that fills the disk. One that began with too much may go on while it adds nothing. */
  async #watch({ data, ceiling }: Place, over: AbortController, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#options.watchMs ?? DATA_WATCH_MS, null, { signal, ref: false }).catch(() => null);
      if (signal.aborted) return;
      const size = await measureData(data, ceiling).catch(() => null);
      if (size !== null && size.bytes > ceiling) return over.abort();
    }
  }

  #error(result: RunResult, problem: string | null): string | null {
    if (problem !== null) return `what is in /data afterwards is refused: ${problem}`;
    return result.kind === "ok" ? null : this.#kept(`${result.kind}: ${result.message}`);
  }

  #keep(log: string[], { stream, text }: LogLine): void {
    log.push(`${stream}: ${this.#kept(text, MAX_KEPT_LINE_CHARS)}`);
    if (log.length > MAX_KEPT_LINES) log.shift();
  }

  /** Redacted before it is cut: half a secret is not found. */
  #kept(text: string, maxChars = MAX_KEPT_CHARS): string {
    return (this.#deps.redact?.(text) ?? text).slice(0, maxChars).toWellFormed();
  }
}

/** The folders of one run. */
interface Place {
  readonly root: string;
  readonly data: string;
  readonly isolation: Isolation;
  /** Bytes in `/data` at which the run is ended. */
  readonly ceiling: number;
}

/** The lib folder is the snapshot's own: a folder over `/lib` would hide the interpreter's libraries. */
function mountsOf({ root, data }: Place): Mount[] {
  return [
    { source: root, target: PACK_TARGET, read_only: true },
    { source: data, target: DATA_TARGET, read_only: false },
  ];
}

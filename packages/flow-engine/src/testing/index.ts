import type { AuditSink, Clock, Digest, JsonValue, PackId } from "@rumi/core";
import { sha256, systemClock } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import type { FlowSource } from "../definition.ts";
import { FlowRunner } from "../flow-runner.ts";
import type { FlowRunnerDeps, FlowRunnerOptions } from "../flow-runner.ts";
import { FlowTable } from "../flow-table.ts";
import type { SkipRecord } from "../flow-table.ts";
import { contextHandlers } from "../kernel-handlers.ts";
import type { BlockCall, BlockOutcome, BlockResolver, BlockRunner, BlockTarget, KernelHandler } from "../ports.ts";
import type { RunAnswer } from "../run-answer.ts";
import type { RunOptions } from "../run-options.ts";

export { MemoryRunJournal } from "./memory-run-journal.ts";

/** What a fake block does: gives a value, or an outcome, at once or later. */
export type FakeBlock = (call: BlockCall, signal: AbortSignal) => BlockOutcome | Promise<BlockOutcome>;

/** Blocks by `<pack>/<file>`, as resolver and runner in one; remembers its calls. */
export class FakeBlocks implements BlockRunner, BlockResolver {
  readonly calls: BlockCall[] = [];
  readonly #blocks: ReadonlyMap<string, FakeBlock>;

  constructor(blocks: Readonly<Record<string, FakeBlock>> = {}) {
    this.#blocks = new Map(Object.entries(blocks));
  }

  resolve(pack: PackId, file: string): BlockTarget {
    if (!this.#blocks.has(`${pack}/${file}`)) return { found: false, missing: "file", message: `there is no ${file} in ${pack}` };
    return { found: true, file, runtime: file.endsWith(".py") ? "python" : "node", digest: fakeDigest(pack) };
  }

  async run(call: BlockCall, signal: AbortSignal): Promise<BlockOutcome> {
    this.calls.push(call);
    const block = this.#blocks.get(`${call.owner_pack}/${call.file}`);
    return block === undefined ? blockFails("sandbox.module_load_error", "no such file") : block(call, signal);
  }
}

/** The digest every snapshot of a fake pack has. */
export function fakeDigest(pack: string): Digest {
  return sha256(`snapshot of ${pack}`);
}

/** A block's good end. */
export function blockGives(value: JsonValue): BlockOutcome {
  return { ok: true, value, execution_mode: "container", warnings: [], duration_ms: 1 };
}

/** A block's bad end; outcomes of running are retryable, refusals are not. */
export function blockFails(
  code: string,
  message = "it failed",
  retryable = code.startsWith("sandbox.") && code !== "sandbox.docker_required",
): BlockOutcome {
  return {
    ok: false,
    code,
    error_type: code.slice(code.indexOf(".") + 1),
    message,
    execution_mode: retryable ? "container" : "rejected",
    retryable,
    duration_ms: 1,
  };
}

/** A flow file with its source: `shared` unless a pack is named. */
export function flowFile(
  text: string,
  source: Partial<FlowSource> & { readonly pack?: string } = {},
): { text: string; source: FlowSource } {
  const pack = source.pack === undefined ? null : (source.pack as PackId);
  return {
    text,
    source: {
      source: source.source ?? (pack === null ? "shared" : "pack"),
      pack_id: pack,
      file: source.file ?? "test.flow.yaml",
      ...(source.digest === undefined ? {} : { digest: source.digest }),
    },
  };
}

export interface TestBenchOptions extends FlowRunnerOptions {
  readonly blocks?: FakeBlocks;
  readonly handlers?: readonly KernelHandler[];
  readonly clock?: Clock;
  readonly deps?: Partial<Omit<FlowRunnerDeps, "table" | "blocks" | "handlers" | "audit" | "clock">>;
  readonly audit?: AuditSink;
  readonly skipped?: readonly SkipRecord[];
}

/** A table and a runner over the given files, for tests. */
export class TestBench {
  readonly audit = new MemoryAudit();
  readonly blocks: FakeBlocks;
  readonly runner: FlowRunner;
  table: FlowTable;
  /** Pauses asked for, ms; they end at once. */
  readonly pauses: number[] = [];

  constructor(files: readonly { text: string; source: FlowSource }[], options: TestBenchOptions = {}) {
    this.blocks = options.blocks ?? new FakeBlocks();
    const handlers = options.handlers ?? contextHandlers();
    this.table = FlowTable.compose(files, {
      blocks: this.blocks,
      handlers,
      ...(options.skipped === undefined ? {} : { skipped: options.skipped }),
    });
    this.runner = new FlowRunner(
      {
        table: () => this.table,
        blocks: this.blocks,
        handlers,
        audit: options.audit ?? this.audit,
        clock: options.clock ?? systemClock,
        logger: silentLogger,
        sleep: (ms) => {
          this.pauses.push(ms);
          return Promise.resolve();
        },
        ...options.deps,
      },
      options,
    );
  }

  run(flowId: string, inputs: unknown = {}, options: Partial<RunOptions> = {}): Promise<RunAnswer> {
    return this.runner.run(flowId, inputs, { caller: "test", trigger: "api", ...options });
  }
}

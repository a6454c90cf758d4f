import { createRunId, RumiError, sha256, systemClock, systemRandom } from "@rumi/core";
import type { Clock } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { createApi } from "../api.ts";
import type { Api, ApiOptions } from "../api.ts";
import type { ApiDeps } from "../deps.ts";
import type { RunRequest } from "../ports.ts";
import type { Run, RunRecord } from "../schemas/flows.ts";
import type { PackReview, PackState, PackStatus, PackSummary } from "../schemas/packs.ts";
import { TokenRegistry } from "../token-registry.ts";
import type { NewToken } from "../token-registry.ts";
import { FakeDictionary } from "./fake-dictionary.ts";
import { FakeLibs } from "./fake-libs.ts";
import { FakeFlowWork } from "./fake-flow-work.ts";
import { FakeRights } from "./fake-rights.ts";
import { FakeRunEvents } from "./fake-run-events.ts";
import { MemoryTokenStore } from "./memory-token-store.ts";

/** How a fake house starts. */
export interface FakeHouseOptions extends ApiOptions {
  readonly clock?: Clock;
  /** Ports to replace. */
  readonly deps?: Partial<ApiDeps>;
  readonly maxConcurrentRuns?: number;
}

interface FakePack {
  status: PackStatus;
  enabled: boolean;
  content: string;
  approved: string | null;
  reason: string | null;
}

interface RunningRun {
  readonly record: RunRecord;
  readonly end: (run: Partial<Run>) => void;
}

/** A whole house of fakes behind the real API: packs are texts, flows answer at once or when told. */
export class FakeHouse {
  readonly packs = new Map<string, FakePack>();
  readonly runs = new Map<string, RunRecord>();
  readonly audit = new MemoryAudit();
  readonly tokenStore = new MemoryTokenStore();
  readonly tokens: TokenRegistry;
  readonly clock: Clock;
  readonly deps: ApiDeps;
  readonly api: Api;
  /** Names of the port methods called, in order. */
  readonly calls: string[] = [];
  readonly rights: FakeRights;
  readonly work: FakeFlowWork;
  /** What happened in runs. */
  readonly events = new FakeRunEvents();
  readonly dictionary: FakeDictionary;
  readonly libs: FakeLibs;
  /** Values that may stand in no answer. */
  readonly live = new Set<string>();
  phase: "starting" | "running" | "stopping" = "running";
  locked: { readonly reason: string; readonly remedy: string } | null = null;
  /** Sections and warnings shown in every review. */
  reviewExtras: Partial<PackReview> = {};
  /** Flows that end only when `finish` is called; others answer at once. */
  readonly held = new Set<string>();
  /** How a flow's run ends when it is not held. */
  readonly outcomes = new Map<string, Partial<Run>>();
  readonly #running = new Map<string, RunningRun>();
  readonly #maxRuns: number;

  constructor(options: FakeHouseOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.#maxRuns = options.maxConcurrentRuns ?? 10;
    this.work = new FakeFlowWork(this.calls, (flowId, actor) => {
      let id = "";
      void this.#run({ flow_id: flowId, inputs: {}, timeout_ms: 1000, caller: actor, on_started: (runId) => (id = runId) });
      return id;
    });
    this.rights = new FakeRights(this.clock, (id) => this.packs.has(id), this.calls);
    this.dictionary = new FakeDictionary(this.calls);
    this.libs = new FakeLibs(this.calls);
    this.tokens = new TokenRegistry({ store: this.tokenStore, audit: this.audit, clock: this.clock, random: systemRandom });
    this.deps = { ...this.#ports(), ...options.deps };
    this.api = createApi(this.deps, options);
  }

  /** A token value with these scopes. */
  async token(...scopes: NewToken["scopes"]): Promise<string> {
    return (await this.tokens.create({ name: scopes.join(" "), scopes, allowed_flow_ids: "*" }, "test")).token;
  }

  addPack(id: string, content = "v1", status: PackStatus = "installed"): void {
    this.packs.set(id, { status, enabled: true, content, approved: status === "approved" ? content : null, reason: null });
  }

  /** Ends every held run. */
  finish(run: Partial<Run> = { state: "completed" }): void {
    for (const running of this.#running.values()) running.end(run);
  }

  #pack(id: string): FakePack {
    const pack = this.packs.get(id);
    if (pack === undefined) throw new RumiError("approval.pack_not_found", "there is no such pack", { details: { pack_id: id } });
    return pack;
  }

  #summary(id: string, pack: FakePack): PackSummary {
    return {
      pack_id: id,
      status: pack.status,
      enabled: pack.enabled,
      version: "1.0.0",
      pack_identity: `local:${id}`,
      digest: sha256(pack.content),
    };
  }

  #state(id: string): PackState {
    const pack = this.#pack(id);
    return {
      pack_id: id,
      status: pack.status,
      reason: pack.reason,
      enabled: pack.enabled,
      live_digest: sha256(pack.content),
      approved_digest: pack.approved === null ? null : sha256(pack.approved),
      approved_at: null,
      network_enabled: false,
      instances: 0,
      problems: [],
    };
  }

  #run(request: RunRequest): Promise<Run> {
    if (!["hello", "slow", "pack.flow"].includes(request.flow_id)) throw new RumiError("flow.not_found", "there is no such flow");
    if (this.#running.size >= this.#maxRuns) throw new RumiError("flow.too_many_runs", "too many runs at once");
    const runId = createRunId(this.clock);
    const base: RunRecord = {
      run_id: runId,
      flow_id: request.flow_id,
      state: "running",
      code: null,
      reason: null,
      result: null,
      caller: request.caller,
    };
    this.runs.set(runId, base);
    this.events.add(runId, "run.started", { flow_id: request.flow_id });
    request.on_started?.(runId);
    const ended = new Promise<Run>((resolve) => {
      const end = (change: Partial<Run>): void => {
        clearTimeout(timer);
        const run: RunRecord = { ...base, state: "completed", result: request.inputs, ...change };
        this.runs.set(runId, run);
        this.#running.delete(runId);
        this.events.add(runId, "run.finished", { state: run.state });
        const { caller: _, ...answer } = run;
        resolve(answer);
      };
      const timer = setTimeout(() => {
        end({ state: "timed_out", code: "flow.timeout", reason: "the run took longer than its time" });
      }, request.timeout_ms);
      this.#running.set(runId, { record: base, end });
      if (!this.held.has(request.flow_id)) end(this.outcomes.get(request.flow_id) ?? {});
    });
    return ended;
  }

  #ports(): ApiDeps {
    const instances = () => [];
    return {
      packs: {
        list: () => [...this.packs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, pack]) => this.#summary(id, pack)),
        pending: () =>
          [...this.packs]
            .filter(([, pack]) => pack.status === "installed" || pack.status === "modified")
            .map(([id, pack]) => this.#summary(id, pack)),
        status: (id) => this.#state(id),
        review: (id) => {
          const pack = this.#pack(id);
          return {
            pack_id: id,
            status: pack.status,
            digest: sha256(pack.content),
            base_digest: pack.approved === null ? null : sha256(pack.approved),
            files: {
              added: [{ path: "blocks/hello.py", size: 12, executable: false, diff: `+${pack.content}\n` }],
              removed: [],
              changed: [],
            },
            warnings: [],
            ...this.reviewExtras,
          };
        },
        scan: () => {
          this.calls.push("packs.scan");
          return { scanned: this.packs.size, packs: {}, changed: [] };
        },
        approve: (id, options) => {
          this.calls.push("packs.approve");
          const pack = this.#pack(id);
          if (options.expected_digest !== undefined && options.expected_digest !== sha256(pack.content)) {
            throw new RumiError("approval.digest_moved", "the pack changed since it was reviewed", { details: { pack_id: id } });
          }
          if (pack.status === "blocked" && options.unblock !== true) {
            throw new RumiError("approval.blocked", "the pack is blocked", { details: { pack_id: id } });
          }
          pack.status = "approved";
          pack.approved = pack.content;
          return { pack_id: id, status: "approved", digest: sha256(pack.content), granted: [], stores_created: [], warnings: [] };
        },
        reject: (id, options) => {
          this.calls.push("packs.reject");
          const pack = this.#pack(id);
          pack.status = "blocked";
          pack.reason = options.reason ?? null;
          return { pack_id: id, status: "blocked", reason: pack.reason };
        },
        enable: (id) => {
          this.#pack(id).enabled = true;
        },
        disable: (id) => {
          this.#pack(id).enabled = false;
        },
      },
      flows: {
        list: () => [
          { flow_id: "hello", source: "shared", pack_id: null, digest: sha256("hello"), inputs: {}, outputs: {}, schedule: null },
        ],
        get: (id) =>
          id === "hello"
            ? {
                flow_id: "hello",
                source: "shared",
                pack_id: null,
                digest: sha256("hello"),
                inputs: {},
                outputs: {},
                schedule: null,
                steps: [{ id: "say", type: "set" }],
              }
            : null,
        effective: (id) =>
          id === "hello"
            ? { flow_id: "hello", digest: sha256("hello"), steps: [{ id: "say", origin: { source: "shared", pack_id: null } }] }
            : null,
      },
      runs: {
        run: (request) => {
          this.calls.push("runs.run");
          return this.#run(request);
        },
        list: ({ flow_id, state, caller, before, limit }) => {
          const all = [...this.runs.values()].reverse();
          const start = before === undefined ? 0 : all.findIndex((run) => run.run_id === before) + 1;
          if (before !== undefined && start === 0) throw new RumiError("request.invalid", "the cursor does not belong to this list");
          const is = (wanted: unknown, value: unknown): boolean => wanted === undefined || wanted === value;
          return all
            .slice(start)
            .filter((run) => is(flow_id, run.flow_id) && is(state, run.state) && is(caller, run.caller))
            .slice(0, limit);
        },
        get: (id) => this.runs.get(id) ?? null,
        logs: (id, step) => this.events.logs(id, step),
        events: (id, after, signal) => this.events.follow(id, after, signal),
        cancel: (id) => {
          const running = this.#running.get(id);
          if (running === undefined) throw new RumiError("flow.run_finished", "the run has ended", { details: { run_id: id } });
          running.end({ state: "cancelled", code: "sandbox.cancelled", reason: "cancelled" });
          return { state: "cancelled" };
        },
      },
      sandbox: {
        status: () => ({ available: true, required: true, engine: { version: "28" }, runtimes: {}, weaknesses: [], remedy: null }),
        pin: (_, actor) => {
          this.calls.push(`images.pin ${actor}`);
          return [{ ref: "rumi-base-python:dev", image_id: "sha256:1", was: null }];
        },
      },
      ...this.rights.ports(),
      ...this.work.ports(),
      dictionary: this.dictionary,
      libs: this.libs,
      instances: { list: instances, start: instances, stop: instances, remove: instances },
      daemon: {
        phase: () => this.phase,
        locked: () => this.locked,
        health: () => ({ status: "ok" }),
        status: () => ({
          version: "0.1.0",
          uptime: 1,
          mode: "strict",
          engine: {},
          counts: { packs: this.packs.size, pending: 0 },
          warnings: [],
        }),
        pending: () => ({ version: 1, packs: { pending_count: 0 } }),
        diagnostics: () => ({ parts: [], events: [] }),
      },
      audit: {
        query: (filter) => ({ items: this.audit.events.slice(-filter.limit), next_cursor: null }),
        summary: () => ({ entries: this.audit.events.length }),
        verify: () => ({ ok: true, entries: this.audit.events.length, heads: 1, first_bad: null }),
      },
      auditSink: this.audit,
      tokens: this.tokens,
      clock: this.clock,
      random: systemRandom,
      logger: silentLogger,
      redact: (text) => [...this.live].reduce((rest, value) => rest.replaceAll(value, "[REDACTED]"), text),
    };
  }
}

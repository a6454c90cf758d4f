import { RumiError, sha256 } from "@rumi/core";
import type { FlowWorkPort, SchedulesPort } from "../ports.ts";
import type { FlowsLoaded, LoadProblem, ModifierChange, ModifierRecord, ScheduleStatus } from "../schemas/flow-work.ts";

/** Flow files, modifiers and schedules in memory. A text with the word `broken` in it has two errors. */
export class FakeFlowWork {
  /** Shared flows and modifiers by id. */
  readonly flows = new Map<string, string>();
  readonly modifiers = new Map<string, string>();
  readonly schedules = new Map<string, ScheduleStatus>();
  /** What a run of `hello` would stumble over. */
  missing: { readonly step: string | null; readonly code: string; readonly message: string; readonly remedy: string | null }[] = [];
  readonly #calls: string[];
  readonly #startRun: (flowId: string, actor: string) => string;

  constructor(calls: string[], startRun: (flowId: string, actor: string) => string) {
    this.#calls = calls;
    this.#startRun = startRun;
  }

  addSchedule(flowId: string, change: Partial<ScheduleStatus> = {}): void {
    this.schedules.set(flowId, {
      flow_id: flowId,
      enabled: true,
      cron: null,
      interval_seconds: 60,
      timezone: "UTC",
      next_fire_at: "2026-01-01T00:01:00.000Z",
      last_fire_at: null,
      last_run_id: null,
      last_state: null,
      running: false,
      skipped_overlap: 0,
      error: null,
      ...change,
    });
  }

  ports(): { readonly flowWork: FlowWorkPort; readonly schedules: SchedulesPort } {
    return { flowWork: this.#flowWork(), schedules: this.#schedules() };
  }

  #loaded(): FlowsLoaded {
    return { flows: this.flows.size + 1, problems: [] };
  }

  #flowWork(): FlowWorkPort {
    const known = (id: string): boolean => id === "hello" || this.flows.has(id);
    return {
      plan: (id) => (known(id) ? { digest: sha256("hello"), order: ["say"], missing: this.missing } : null),
      diff: (id, { source, pack_id }) => {
        if (pack_id !== undefined && pack_id !== "my_pack") throw new RumiError("approval.pack_not_found", "there is no such pack");
        if (!known(id) && source === undefined) return null;
        const problems = source?.includes("broken") === true ? brokenProblems() : [];
        const base = known(id) ? sha256(this.flows.get(id) ?? "hello") : null;
        if (problems.length > 0) return { base_digest: base, digest: null, added: [], removed: [], changed: [], problems };
        const changed = [{ step: "say", field: "input", from: null, to: { text: source ?? "live" } }];
        return { base_digest: base, digest: sha256(source ?? "live"), added: ["new"], removed: ["old"], changed, problems };
      },
      reload: () => {
        this.#calls.push("flows.reload");
        return this.#loaded();
      },
      putFlow: (id, source, actor) => {
        refuseBroken(source);
        this.#calls.push(`flows.put ${id} ${actor}`);
        this.flows.set(id, source);
        return this.#loaded();
      },
      removeFlow: (id) => (this.flows.delete(id) ? this.#loaded() : null),
      modifiers: ({ pack_id, dry_run }) => {
        const shared = [...this.modifiers.keys()].map((id) => record(id, null));
        const live = dry_run && pack_id !== undefined ? [record("live", pack_id)] : [];
        const modifiers = [...shared, ...live].filter((one) => pack_id === undefined || one.pack_id === pack_id);
        return dry_run ? { modifiers, problems: [], effective: [EFFECTIVE] } : { modifiers };
      },
      putModifier: (id, source, { dry_run }) => {
        refuseBroken(source);
        if (!dry_run) this.modifiers.set(id, source);
        return change(source.includes("*"), dry_run);
      },
      removeModifier: (id, { dry_run }) => {
        if (!this.modifiers.has(id)) return null;
        if (!dry_run) this.modifiers.delete(id);
        return change(false, dry_run);
      },
    };
  }

  #schedules(): SchedulesPort {
    const find = (flowId: string): ScheduleStatus => {
      const schedule = this.schedules.get(flowId);
      if (schedule === undefined) throw new RumiError("schedule.not_found", "there is no such schedule");
      return schedule;
    };
    return {
      list: () => [...this.schedules.values()],
      setEnabled: (flowId, enabled) => {
        const status = { ...find(flowId), enabled };
        this.schedules.set(flowId, status);
        return status;
      },
      trigger: (flowId, actor) => ({ run_id: this.#startRun(find(flowId).flow_id, actor) }),
    };
  }
}

const EFFECTIVE = { flow_id: "hello", digest: sha256("effective"), steps: [{ id: "say", type: "set" }], removed: [] } as const;

function record(modifierId: string, packId: string | null): ModifierRecord {
  return {
    modifier_id: modifierId,
    source: packId === null ? "shared" : "pack",
    pack_id: packId,
    target_flow_id: "hello",
    target_step_id: "say",
    action: "inject_after",
    wide: false,
    applied: true,
    skipped_reason: null,
  };
}

function change(wide: boolean, dryRun: boolean): ModifierChange {
  return {
    targets: [{ flow_id: "hello", applied: true, skipped_reason: null, digest: sha256("after") }],
    wide,
    warnings: wide ? ["it matches hello"] : [],
    problems: [],
    ...(dryRun ? { effective: [EFFECTIVE] } : {}),
  };
}

function brokenProblems(): LoadProblem[] {
  const at = { severity: "error", file: "hello.flow.yaml", line: 3, column: 5 } as const;
  return [
    { ...at, code: "flow.invalid_step", path: "steps[0].type", message: "type must be known" },
    { ...at, code: "flow.invalid_condition", path: "steps[1].when", message: "when must be a condition" },
  ];
}

function refuseBroken(source: string): void {
  if (!source.includes("broken")) return;
  const issues = brokenProblems().map(({ code, path, message }) => ({ code, path: `/${path}`, message }));
  throw new RumiError("flow.invalid_step", "type must be known", { details: { issues } });
}

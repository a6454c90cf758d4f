import type {
  AuditReadPort,
  DaemonPort,
  EffectiveFlow,
  EngineStatus,
  FlowDetail,
  FlowsPort,
  FlowSummary,
  ImagePin,
  InstancesPort,
  InstanceView,
  PacksPort,
  Run,
  RunLogLine,
  RunRecord,
  RunsPort,
  SandboxStatusPort,
} from "@rumi/api";
import type { PackApprovals } from "@rumi/approval";
import { readAuditCursor } from "@rumi/audit";
import type { AuditLog } from "@rumi/audit";
import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Digest, FlowId, PackId } from "@rumi/core";
import type { ComposedFlow, FlowRunner, RunAnswer } from "@rumi/flow-engine";
import { runtimesOf } from "@rumi/pack-runtime";
import type { FlowCatalog, InstancePool, SandboxWatch } from "@rumi/pack-runtime";
import type { RunView, SqliteRunJournal } from "@rumi/run-journal-sqlite";
import { SandboxError } from "@rumi/sandbox";
import type { Runtime, Sandbox } from "@rumi/sandbox";
import type { FileImagePins } from "./state-files.ts";

export function bindPacks(approvals: PackApprovals, pool: InstancePool): PacksPort {
  return {
    list: () => approvals.list(),
    pending: () => approvals.pending(),
    async status(packId) {
      const state = await approvals.status(packId);
      // No network grant can be held yet.
      return { ...state, network_enabled: false, instances: pool.list().filter((view) => view.pack_id === packId).length };
    },
    review: (packId) => approvals.review(packId),
    scan: () => approvals.scan(),
    approve: (packId, options) => approvals.approve(packId, options),
    reject: (packId, options) => approvals.reject(packId, options),
    enable: (packId, actor) => approvals.enable(packId, actor),
    disable: (packId, actor) => approvals.disable(packId, actor),
  };
}

export function bindFlows(catalog: FlowCatalog): FlowsPort {
  const find = async (flowId: string): Promise<ComposedFlow | null> => {
    await catalog.find(flowId as FlowId);
    return catalog.table.get(flowId) ?? null;
  };
  return {
    list: () => catalog.table.list().map(flowSummary),
    async get(flowId): Promise<FlowDetail | null> {
      const flow = await find(flowId);
      if (flow === null) return null;
      const { description, phases, raw, source } = flow.definition;
      const steps = flow.order.map((step) => step.raw);
      const problems = catalog.table.problems.filter((problem) => problem.file === source.file);
      return {
        ...flowSummary(flow),
        description,
        phases: [...phases],
        steps: steps.length > 0 ? steps : ((raw["steps"] as unknown[] | undefined) ?? []),
        problems,
      };
    },
    async effective(flowId) {
      const flow = await find(flowId);
      return flow === null ? null : effectiveOf(flow);
    },
  };
}

/** A flow with every modifier applied. */
export function effectiveOf(flow: ComposedFlow): EffectiveFlow {
  return {
    flow_id: flow.definition.flow_id,
    digest: flow.digest,
    steps: flow.order.map((step) => ({ ...step.raw, origin: flow.origins.get(step.id) })),
    removed: flow.removed.map((step) => ({ ...step })),
  };
}

function flowSummary({ definition, digest }: ComposedFlow): FlowSummary {
  return {
    flow_id: definition.flow_id,
    source: definition.source.source,
    pack_id: definition.source.pack_id,
    digest,
    inputs: Object.fromEntries(definition.inputs),
    outputs: definition.outputs === null ? null : Object.fromEntries(definition.outputs),
    schedule: definition.schedule,
  };
}

/** Runs of now and before: those that go on from the runner, all others from the journal. */
export function bindRuns(deps: {
  readonly runner: FlowRunner;
  readonly catalog: FlowCatalog;
  readonly daemon: Pick<DaemonPort, "phase">;
  readonly journal: SqliteRunJournal;
}): RunsPort {
  const { runner, catalog, daemon, journal } = deps;
  return {
    async run(request): Promise<Run> {
      const phase = daemon.phase();
      if (phase !== "running") throw new RumiError(`daemon.${phase}`, `the daemon is ${phase}`);
      if (catalog.table.get(request.flow_id) === undefined) await catalog.find(request.flow_id as FlowId);
      const { run_id: runId, done } = runner.start(request.flow_id, request.inputs, {
        timeoutMs: request.timeout_ms,
        caller: request.caller,
        trigger: "api",
        ...(request.digest === undefined ? {} : { digest: request.digest as Digest }),
        ...(request.on_started === undefined ? {} : { async: true }),
      });
      request.on_started?.(runId);
      return done;
    },
    list(filter) {
      if (filter.before !== undefined && journal.history.stateOf(filter.before) === null)
        throw new RumiError("request.invalid", "the cursor does not belong to this list, or its run is gone");
      return journal.history.list(withoutAbsent(filter)).map((view) => recordOf(view, runner));
    },
    get(runId) {
      const detail = journal.history.get(runId);
      if (detail === null) return null;
      const { inputs: _inputs, steps, ...view } = detail;
      const logs = journal.history.logs(runId);
      const answer = { result: view.result, truncated: view.truncated, failed_steps: view.failed_steps, warnings: view.warnings };
      return {
        ...recordOf(view, runner),
        ...(view.finished_at === null ? {} : answer),
        steps,
        ...(logs.length === 0 ? {} : { logs }),
      } as RunRecord;
    },
    logs: (runId, stepId) => journal.history.logs(runId, stepId) as readonly RunLogLine[],
    async *events(runId, after, signal) {
      // Who has the last event of a run that ended waits for nothing.
      const state = journal.history.stateOf(runId);
      if (state !== "queued" && state !== "running" && journal.feed.after(runId, after).length === 0) return;
      for await (const { seq, ts, type, data } of journal.feed.follow(runId, after, signal))
        yield { id: seq, event: type, data: { ts, ...data } };
    },
    cancel(runId, reason, actor) {
      // A run of an earlier process is not the runner's any more, but it did end.
      if (runner.get(runId) === undefined && journal.history.stateOf(runId) !== null)
        throw new RumiError("flow.run_finished", "the run has already ended", { details: { run_id: runId } });
      runner.cancel(runId, reason ?? `cancelled by ${actor}`);
      return { state: "cancelled" };
    },
  };
}

/** A run as lists show it; one that goes on tells its time itself. */
function recordOf(view: RunView, runner: FlowRunner): RunRecord {
  const live = view.finished_at === null ? runner.get(view.run_id) : undefined;
  return { ...view, ...(live === undefined ? {} : { state: live.state, execution_time: live.execution_time }) } as RunRecord;
}

export function bindSandbox(deps: {
  readonly watch: SandboxWatch;
  readonly pins: FileImagePins;
  readonly audit: AuditSink;
}): SandboxStatusPort {
  const { watch, pins, audit } = deps;
  return {
    async status(options): Promise<EngineStatus> {
      const probe = await watch.probe(options?.fresh === true ? { fresh: true } : {});
      return {
        available: probe.available,
        required: watch.mode === "strict",
        adapter: probe.adapter,
        isolation: probe.isolation,
        engine:
          probe.engine === undefined
            ? null
            : { ...probe.engine, ...(probe.oci_runtime === undefined ? {} : { oci_runtime: probe.oci_runtime }) },
        runtimes: probe.runtimes,
        weaknesses: [...probe.weaknesses],
        warnings: [...probe.warnings],
        remedy: probe.remedy ?? null,
      };
    },
    async pin(runtime, actor) {
      const wanted: readonly Runtime[] = runtime === undefined ? ["python", "node"] : [runtime];
      const refs = wanted.map((each) => ({ each, ref: watch.last?.runtimes[each].ref ?? "" }));
      const before = new Map<string, string | null>();
      for (const { ref } of refs) {
        before.set(ref, await pins.read(ref));
        await pins.forget(ref);
      }
      // Without a pin the sandbox answers what the name means now.
      const probe = await watch.probe({ fresh: true });
      const pinned: ImagePin[] = [];
      for (const { each, ref } of refs) {
        const was = before.get(ref) ?? null;
        const { image_id: imageId, present } = probe.runtimes[each];
        if (present && imageId !== null) pinned.push({ ref, image_id: imageId, was });
        else if (was !== null) await pins.write(ref, was);
      }
      for (const { ref, image_id: imageId } of pinned) if (imageId !== null) await pins.write(ref, imageId);
      const missing = refs.find(({ ref }) => !pinned.some((pin) => pin.ref === ref));
      if (missing !== undefined)
        throw new SandboxError("sandbox.image_missing", `there is no image "${missing.ref}"`, { remedy: probe.remedy ?? "rumi doctor" });
      await audit.record({
        category: "system",
        action: "settings",
        success: true,
        details: { image_pins: pinned.map((pin) => ({ ...pin })), actor },
      });
      await watch.probe({ fresh: true });
      return pinned;
    },
  };
}

export function bindInstances(deps: {
  readonly pool: InstancePool;
  readonly approvals: PackApprovals;
  readonly sandbox: Sandbox;
  readonly audit: AuditSink;
}): InstancesPort {
  const { pool, approvals, sandbox, audit } = deps;
  const views = async (): Promise<InstanceView[]> => {
    const held = await sandbox.list().catch(() => []);
    return pool.list().map((view) => ({
      id: view.id,
      pack_id: view.pack_id,
      digest: view.digest,
      runtime: view.runtime,
      state: view.state,
      busy: view.busy,
      memory_bytes: held.find((one) => one.instance_id === view.id)?.memory_bytes ?? null,
      started_at: view.started_at === null ? null : isoTime(view.started_at),
    }));
  };
  const of = (all: readonly InstanceView[], packId: string, runtime: Runtime | undefined): InstanceView[] =>
    all.filter((view) => view.pack_id === packId && (runtime === undefined || view.runtime === runtime));
  const end = async (how: "stop" | "remove", packId: string, runtime: Runtime | undefined, actor: string): Promise<InstanceView[]> => {
    const filter = { pack_id: packId as PackId, ...(runtime === undefined ? {} : { runtime }) };
    const ended = of(await views(), packId, runtime);
    if (ended.length === 0)
      throw new RumiError("container.not_found", `pack "${packId}" has no container`, { remedy: "rumi container list" });
    if (how === "stop") await pool.drain(filter);
    else await pool.remove(filter, "removed by the operator");
    await audit.record({
      category: "system",
      action: "engine",
      success: true,
      owner_pack: packId,
      details: { instances: how, count: ended.length, actor },
    });
    return ended;
  };
  return {
    list: views,
    async start(packId, runtime, actor) {
      const gate = approvals.gate(packId as PackId);
      if (!gate.allowed) throw new RumiError(gate.code, gate.reason, gate.remedy === undefined ? {} : { remedy: gate.remedy });
      for (const each of runtime === undefined ? runtimesOf(gate) : [runtime]) {
        await pool.prewarm({
          pack_id: gate.pack_id,
          digest: gate.digest,
          runtime: each,
          authority: gate.pack_id,
          root: gate.root,
          reuse: gate.pack.reuse,
        });
      }
      await audit.record({
        category: "system",
        action: "engine",
        success: true,
        owner_pack: packId,
        details: { instances: "start", actor },
      });
      return of(await views(), packId, runtime);
    },
    stop: (packId, runtime, actor) => end("stop", packId, runtime, actor),
    remove: (packId, runtime, actor) => end("remove", packId, runtime, actor),
  };
}

export function bindAudit(audit: AuditLog): AuditReadPort {
  return {
    query(filter) {
      if (filter.cursor !== undefined && readAuditCursor(filter.cursor) === null)
        throw new RumiError("request.invalid", "the cursor does not belong to this list");
      return audit.query(withoutAbsent(filter));
    },
    summary: () => audit.summary(),
    verify: () => audit.verify(),
  };
}

/** Members that are not there at all, rather than there and undefined. */
function withoutAbsent<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** How a run that ended with failed steps is told in one line: the first of them. */
export function firstFailure(
  answer: RunAnswer,
): { readonly code: string; readonly message: string; readonly remedy: string | null } | null {
  const [failed] = answer.failed_steps;
  if (failed !== undefined) return { code: failed.code, message: failed.message, remedy: failed.remedy ?? null };
  return answer.code === null ? null : { code: answer.code, message: answer.reason ?? answer.state, remedy: null };
}

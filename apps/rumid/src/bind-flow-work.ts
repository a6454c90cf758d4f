import type {
  EffectiveFlow,
  FlowDiff,
  FlowsLoaded,
  FlowWorkPort,
  LoadProblem,
  ModifierChange,
  ModifierRecord,
  SchedulesPort,
} from "@rumi/api";
import type { AuditSink, FlowId } from "@rumi/core";
import { RumiError, sha256 } from "@rumi/core";
import { diffFlows, planFlow } from "@rumi/flow-engine";
import type { FlowTable, PlanFacts, Scheduler } from "@rumi/flow-engine";
import type { FlowCatalog, FlowChange } from "@rumi/pack-runtime";
import { effectiveOf } from "./bind-api.ts";
import type { SharedFlowFiles } from "./shared-flow-files.ts";

export interface FlowWorkDeps {
  readonly catalog: FlowCatalog;
  readonly files: SharedFlowFiles;
  readonly facts: PlanFacts;
  readonly audit: AuditSink;
}

/** Effective flows shown beside one dry run. */
const MAX_SHOWN_FLOWS = 100;

type Kind = "flow" | "modifier";

/** Flows looked at before they run, and the operator's flow files: one change of them at a time. */
export function bindFlowWork(deps: FlowWorkDeps): FlowWorkPort {
  const { catalog, files, facts, audit } = deps;
  let queue: Promise<unknown> = Promise.resolve();
  const alone = <T>(change: () => Promise<T>): Promise<T> => {
    const next = queue.then(change);
    queue = next.catch(() => undefined);
    return next;
  };
  const fileOf = (kind: Kind, id: string): string =>
    catalog.sharedFile(kind, id) ?? (kind === "flow" ? `${id}.flow.yaml` : `modifiers/${id}.modifier.yaml`);
  const preview = async (change: FlowChange): Promise<FlowTable> => {
    const table = await catalog.preview(change);
    if (table !== null) return table;
    const details = { pack_id: change.livePack ?? "" };
    throw new RumiError("approval.pack_not_found", "there is no such pack", { details });
  };
  const loaded = (): FlowsLoaded => ({ flows: catalog.last.flows, problems: [...catalog.last.problems] });
  const record = (kind: Kind, id: string, actor: string, details: { readonly [key: string]: string | boolean | string[] }): Promise<void> =>
    audit.record({
      category: "system",
      action: "settings",
      success: true,
      ...(kind === "flow" ? { flow_id: id } : { modifier_id: id }),
      details: { [`shared_${kind}`]: id, ...details, actor },
    });

  return {
    async plan(flowId, inputs) {
      await catalog.find(flowId as FlowId);
      const { table } = catalog;
      const flow = table.get(flowId);
      return flow === undefined ? null : planFlow(flow, inputs, table, facts);
    },

    async diff(flowId, { source, pack_id: packId }): Promise<FlowDiff | null> {
      await catalog.find(flowId as FlowId);
      const { table } = catalog;
      const file = fileOf("flow", flowId);
      const change = source === undefined ? { livePack: packId ?? "" } : { sharedFlow: { file, text: source } };
      const after = await preview(change);
      const problems = source === undefined ? newProblems(table, after) : problemsOf(after, file);
      const [base, now] = [table.get(flowId), after.get(flowId)];
      if (base === undefined && now === undefined && source === undefined) return null;
      const stray = source === undefined ? null : strayText(after, "flow", flowId, file);
      if (stray !== null) problems.push(stray);
      // A text with an error is refused when it is saved: it would alter nothing.
      if (source !== undefined && problems.some(isError))
        return { base_digest: base?.digest ?? null, digest: null, added: [], removed: [], changed: [], problems };
      return { ...diffFlows(base, now), problems };
    },

    async reload() {
      await catalog.reload();
      return loaded();
    },

    putFlow: (id, source, actor) =>
      alone(async () => {
        const file = fileOf("flow", id);
        const after = await preview({ sharedFlow: { file, text: source } });
        refuseErrors([...problemsOf(after, file), ...listed(strayText(after, "flow", id, file))]);
        await record("flow", id, actor, { change: "put", text_digest: sha256(source) });
        await files.write(file, source);
        await catalog.reload();
        return loaded();
      }),

    removeFlow: (id, actor) =>
      alone(async () => {
        await catalog.reload();
        const file = fileOf("flow", id);
        const isThere = catalog.sharedFile("flow", id) !== null || catalog.last.skipped.some(isShared(file));
        if (!isThere) return null;
        await preview({ sharedFlow: { file, text: null } });
        await record("flow", id, actor, { change: "remove" });
        await files.remove(file);
        await catalog.reload();
        return loaded();
      }),

    async modifiers({ pack_id: packId, dry_run: dryRun }) {
      const ofPack = (records: readonly ModifierRecord[]): ModifierRecord[] =>
        records.filter((one) => packId === undefined || one.pack_id === packId);
      if (!dryRun) return { modifiers: ofPack(catalog.table.modifiers) };
      const after = await preview(packId === undefined ? {} : { livePack: packId });
      const modifiers = ofPack(after.modifiers);
      const applied = modifiers.filter((one) => one.applied);
      return { modifiers, problems: newProblems(catalog.table, after), effective: effectiveFlows(after, applied) };
    },

    putModifier: (id, source, { dry_run: dryRun }, actor) =>
      alone(async () => {
        const file = fileOf("modifier", id);
        const after = await preview({ sharedModifier: { file, text: source } });
        refuseErrors([...problemsOf(after, file), ...listed(strayText(after, "modifier", id, file))]);
        const change = changeOf(after, recordsOf(after, id), problemsOf(after, file), dryRun);
        if (dryRun) return change;
        await record("modifier", id, actor, { change: "put", text_digest: sha256(source), ...told(change) });
        await files.write(file, source);
        await catalog.reload();
        return change;
      }),

    removeModifier: (id, { dry_run: dryRun }, actor) =>
      alone(async () => {
        await catalog.reload();
        const file = catalog.sharedFile("modifier", id);
        if (file === null) return null;
        const before = recordsOf(catalog.table, id);
        const after = await preview({ sharedModifier: { file, text: null } });
        const gone = before.map((one) => ({ ...one, applied: false, skipped_reason: null }));
        const change = changeOf(after, gone, newProblems(catalog.table, after), dryRun);
        if (dryRun) return change;
        await record("modifier", id, actor, { change: "remove", ...told(change) });
        await files.remove(file);
        await catalog.reload();
        return change;
      }),
  };
}

/** Schedules; what an operator does to one is recorded. */
export function bindSchedules({ scheduler, audit }: { readonly scheduler: Scheduler; readonly audit: AuditSink }): SchedulesPort {
  const record = (flowId: string, details: { readonly [key: string]: string }): Promise<void> =>
    audit.record({ category: "system", action: "schedule", success: true, flow_id: flowId, details });
  return {
    list: () => scheduler.list(),
    async setEnabled(flowId, enabled, actor) {
      const status = scheduler.setEnabled(flowId, enabled);
      await record(flowId, { change: enabled ? "enable" : "disable", actor });
      return status;
    },
    async trigger(flowId, actor) {
      const runId = scheduler.trigger(flowId, actor);
      await record(flowId, { change: "trigger", run_id: runId, actor });
      return { run_id: runId };
    },
  };
}

function isError({ severity }: LoadProblem): boolean {
  return severity === "error";
}

function isShared(file: string): (skip: { readonly source: string; readonly file: string | null }) => boolean {
  return (skip) => skip.source === "shared" && skip.file === file;
}

function listed<T>(item: T | null): T[] {
  return item === null ? [] : [item];
}

/** What is wrong with one shared file. Files of other sources may bear the same name: a table does not say whose a problem is. */
function problemsOf(table: FlowTable, file: string): LoadProblem[] {
  return table.problems.filter((problem) => problem.file === file).map((problem) => ({ ...problem }));
}

/** What is wrong after a change and was not before. */
function newProblems(before: FlowTable, after: FlowTable): LoadProblem[] {
  const known = new Set(before.problems.map((problem) => JSON.stringify(problem)));
  return after.problems.filter((problem) => !known.has(JSON.stringify(problem))).map((problem) => ({ ...problem }));
}

/** The problem of a text that bears another id than the one it is sent for. */
function strayText(after: FlowTable, kind: Kind, id: string, file: string): LoadProblem | null {
  if (problemsOf(after, file).some(isError)) return null;
  const source = after.get(id)?.definition.source;
  const isThere = kind === "flow" ? source?.source === "shared" && source.file === file : recordsOf(after, id).length > 0;
  if (isThere) return null;
  const [code, field] = kind === "flow" ? (["flow.invalid_id", "flow_id"] as const) : (["modifier.invalid_field", "modifier_id"] as const);
  return { code, severity: "error", file, path: field, line: 1, column: 1, message: `${field} must be ${id}, as the request names it` };
}

/** @throws RumiError the first error's code, with all of them as issues */
function refuseErrors(problems: readonly LoadProblem[]): void {
  const errors = problems.filter(isError);
  const [first] = errors;
  if (first === undefined) return;
  const issues = errors.map(({ code, path, line, column, message }) => ({
    code,
    path: pointerOf(path),
    message: `${message} (line ${line}, column ${column})`,
  }));
  throw new RumiError(first.code as `${string}.${string}`, first.message, { details: { issues } });
}

/** `steps[2].when` as a JSON pointer. */
function pointerOf(path: string): string {
  const names = path.replaceAll(/\[(\d+)\]/gu, ".$1").split(".");
  return path === "" ? "" : `/${names.map((name) => name.replaceAll("~", "~0").replaceAll("/", "~1")).join("/")}`;
}

function recordsOf(table: FlowTable, modifierId: string): ModifierRecord[] {
  return table.modifiers
    .filter((record) => record.source === "shared" && record.modifier_id === modifierId)
    .map((record) => ({ ...record }));
}

function effectiveFlows(table: FlowTable, records: readonly ModifierRecord[]): EffectiveFlow[] {
  const ids = [...new Set(records.map((record) => record.target_flow_id))];
  return ids
    .flatMap((id) => table.get(id) ?? [])
    .slice(0, MAX_SHOWN_FLOWS)
    .map(effectiveOf);
}

function changeOf(after: FlowTable, records: readonly ModifierRecord[], problems: readonly LoadProblem[], dryRun: boolean): ModifierChange {
  return {
    targets: records.map((record) => ({
      flow_id: record.target_flow_id,
      applied: record.applied,
      skipped_reason: record.skipped_reason,
      digest: after.get(record.target_flow_id)?.digest ?? null,
    })),
    wide: records.some((record) => record.wide),
    warnings: problems.filter((problem) => !isError(problem)).map((problem) => `${problem.code}: ${problem.message}`),
    problems: [...problems],
    ...(dryRun ? { effective: effectiveFlows(after, records) } : {}),
  };
}

/** What the audit keeps of a change of modifiers. */
function told({ targets, wide }: ModifierChange): { readonly wide: boolean; readonly targets: string[] } {
  return { wide, targets: targets.map((target) => target.flow_id) };
}

import type { Digest, JsonObject, JsonValue } from "@rumi/core";
import { canonicalJson } from "@rumi/core";
import type { ComposedFlow } from "./flow-table.ts";

/** One field that differs. `step` is null for a field of the flow itself; an absent field is null. */
export interface ChangedField {
  readonly step: string | null;
  readonly field: string;
  readonly from: JsonValue;
  readonly to: JsonValue;
}

/** What stands between two effective flows. Null digests: no flow there. */
export interface FlowDiff {
  readonly base_digest: Digest | null;
  readonly digest: Digest | null;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly ChangedField[];
}

/** Compares two effective flows, modifiers and origins included, by their top-level steps. Pure. */
export function diffFlows(before: ComposedFlow | undefined, after: ComposedFlow | undefined): FlowDiff {
  const old = new Map((before?.order ?? []).map((step) => [step.id as string, step]));
  const now = new Map((after?.order ?? []).map((step) => [step.id as string, step]));
  const changed: ChangedField[] = before === undefined || after === undefined ? [] : flowFields(before, after);
  for (const [id, step] of now) {
    const was = old.get(id);
    if (was === undefined) continue;
    changed.push(...fields(id, was.raw, step.raw));
    const origins = [before?.origins.get(id), after?.origins.get(id)].map((origin) => (origin === undefined ? null : { ...origin }));
    changed.push(...fields(id, { origin: origins[0] ?? null }, { origin: origins[1] ?? null }));
    const snapshots = [before?.targets.get(id), after?.targets.get(id)].map((target) => (target?.found === true ? target.digest : null));
    changed.push(...fields(id, { snapshot: snapshots[0] ?? null }, { snapshot: snapshots[1] ?? null }));
  }
  const kept = (ids: Iterable<string>): string[] => [...ids].filter((id) => old.has(id) && now.has(id));
  const [oldOrder, newOrder] = [kept(old.keys()), kept(now.keys())];
  if (oldOrder.join("\n") !== newOrder.join("\n")) changed.push({ step: null, field: "order", from: oldOrder, to: newOrder });
  return {
    base_digest: before?.digest ?? null,
    digest: after?.digest ?? null,
    added: [...now.keys()].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !now.has(id)),
    changed,
  };
}

function flowFields(before: ComposedFlow, after: ComposedFlow): ChangedField[] {
  const { steps: _old, ...was } = before.definition.raw;
  const { steps: _new, ...is } = after.definition.raw;
  return fields(null, was, is);
}

function fields(step: string | null, was: JsonObject, is: JsonObject): ChangedField[] {
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])].toSorted();
  return names.flatMap((field) => {
    const [from, to] = [was[field] ?? null, is[field] ?? null];
    return canonicalJson(from) === canonicalJson(to) ? [] : [{ step, field, from, to }];
  });
}

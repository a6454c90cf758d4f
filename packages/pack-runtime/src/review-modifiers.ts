import { isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import type { ModifierFacts } from "@rumi/approval";
import { globMatches, isGlob } from "@rumi/flow-engine";

/** A flow as a modifier's review sees it: its id and the context keys that its inputs and steps write. */
export interface KnownFlow {
  readonly flow_id: string;
  /** Keys by the step that writes them; inputs stand under `""`. */
  readonly writes: ReadonlyMap<string, readonly string[]>;
}

const REFERENCE = /(?<!\$)\$\{\s*ctx((?:\.[A-Za-z_][A-Za-z0-9_]*|\[\s*(?:\d+|"[^"]*"|'[^']*')\s*\])+)\s*\}/gu;

/** Context paths that a step reads anywhere: references and conditions, nested steps too. Sorted, each once. */
export function pathsRead(step: JsonValue): string[] {
  const found = new Set<string>();
  const walk = (value: JsonValue): void => {
    if (typeof value === "string") {
      for (const [, path = ""] of value.matchAll(REFERENCE)) found.add(path.replace(/^\./u, ""));
      return;
    }
    if (Array.isArray(value)) for (const item of value) walk(item);
    else if (isJsonObject(value)) for (const item of Object.values(value)) walk(item);
  };
  walk(step);
  const from = handlerKey(step, "kernel:ctx.get", "key") ?? handlerKey(step, "kernel:ctx.copy", "from_key");
  if (from !== null) found.add(from);
  return [...found].sort();
}

/** Context keys that a step writes: `output`, `set`, `ctx.*` handlers, nested steps too. Sorted, each once. */
export function keysWritten(step: JsonValue): string[] {
  const found = new Set<string>();
  const walk = (value: JsonValue): void => {
    if (Array.isArray(value)) {
      for (const item of value) walk(item);
      return;
    }
    if (!isJsonObject(value)) return;
    if (typeof value["output"] === "string") found.add(value["output"]);
    const { input = null } = value;
    if (value["type"] === "set" && isJsonObject(input) && typeof input["key"] === "string") found.add(input["key"]);
    const to = handlerKey(value, "kernel:ctx.set", "key") ?? handlerKey(value, "kernel:ctx.copy", "to_key");
    if (to !== null) found.add(to);
    for (const nested of ["then", "else", "steps"]) walk(value[nested] ?? null);
    const branches = value["branches"];
    if (isJsonObject(branches)) for (const branch of Object.values(branches)) walk(branch);
  };
  walk(step);
  return [...found].sort();
}

/** The keys a flow's inputs and steps write, as `KnownFlow` wants them. `flow` is a parsed flow file. */
export function knownFlow(flow: JsonObject): KnownFlow | null {
  const id = flow["flow_id"];
  if (typeof id !== "string") return null;
  const writes = new Map<string, readonly string[]>();
  const inputs = flow["inputs"];
  if (isJsonObject(inputs ?? null)) writes.set("", Object.keys(inputs as JsonObject).sort());
  const steps = flow["steps"];
  if (Array.isArray(steps)) {
    for (const step of steps as readonly JsonValue[]) {
      if (isJsonObject(step) && typeof step["id"] === "string") writes.set(step["id"], keysWritten(step));
    }
  }
  return { flow_id: id, writes };
}

/** What one modifier of `packId` reads, writes and overwrites, for each flow it now reaches (or its target's words). */
export function modifierFacts(modifier: JsonObject, packId: string, flows: readonly KnownFlow[]): ModifierFacts | null {
  const id = modifier["modifier_id"];
  const target = modifier["target_flow_id"];
  const action = modifier["action"];
  if (typeof id !== "string" || typeof target !== "string" || typeof action !== "string") return null;
  const step = modifier["step"] ?? null;
  const writes = keysWritten(step);
  const replaced =
    typeof modifier["target_step_id"] === "string" && (action === "replace" || action === "remove") ? modifier["target_step_id"] : null;
  const overwritten = new Set<string>();
  for (const flow of flows) {
    if (!globMatches(target, flow.flow_id)) continue;
    for (const [writer, keys] of flow.writes) {
      if (writer !== replaced) for (const key of keys) if (writes.includes(key)) overwritten.add(key);
    }
  }
  return {
    modifier_id: id,
    target: typeof modifier["target_step_id"] === "string" ? `${target}/${modifier["target_step_id"]}` : target,
    action,
    wide: isGlob(target) && !target.startsWith(`${packId}.`),
    reads: pathsRead(step),
    writes,
    overwrites: [...overwritten].sort(),
  };
}

function handlerKey(step: JsonValue, handler: string, arg: string): string | null {
  if (!isJsonObject(step) || step["type"] !== "handler") return null;
  const input = step["input"];
  if (!isJsonObject(input ?? null)) return null;
  const { handler: name, args } = input as JsonObject;
  if (name !== handler || !isJsonObject(args ?? null)) return null;
  const value = (args as JsonObject)[arg];
  return typeof value === "string" ? value : null;
}

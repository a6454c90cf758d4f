import { FlowId, PackId, StepId } from "@rumi/core";
import * as v from "valibot";

const CONTEXT_KEY = /^(?:[A-Za-z][A-Za-z0-9_-]{0,63}|_response)$/u;
const PHASE = /^[A-Za-z0-9_-]{1,64}$/u;
const INPUT_KEY = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/u;

/** True for a key a step may write. Of the keys with a leading `_` only `_response`. */
export function isContextKey(text: string): boolean {
  return CONTEXT_KEY.test(text);
}

/** True for a name a flow may declare as input or output. */
export function isInputKey(text: string): boolean {
  return INPUT_KEY.test(text);
}

/** True for a dotted lower-case service or permission name. */
export function isServiceName(text: string): boolean {
  return text.length <= 128 && /^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*$/u.test(text);
}

export function isPhaseName(text: string): boolean {
  return PHASE.test(text);
}

export function isFlowId(text: string): text is FlowId {
  return v.is(FlowId, text);
}

export function isStepId(text: string): text is StepId {
  return v.is(StepId, text);
}

export function isPackId(text: string): text is PackId {
  return v.is(PackId, text);
}

/** Whether flow `id` belongs to `pack`: the pack's own id, or below it. */
export function isOwnFlow(pack: string, id: string): boolean {
  return id === pack || id.startsWith(`${pack}.`);
}

import type { Digest, FlowId, JsonObject, JsonValue } from "@rumi/core";
import type { ScheduleFire } from "./journal.ts";
import { API_RUN_SECONDS, BACKGROUND_RUN_SECONDS } from "./limits.ts";
import type { RunTrigger } from "./run-answer.ts";

/** What starts a run beside its flow and inputs. */
export interface RunOptions {
  /** Wished deadline; clamped by trigger. */
  readonly timeoutMs?: number;
  /** Who asked, for audit: a token's name, `scheduler`, `boot`. */
  readonly caller: string;
  readonly trigger: RunTrigger;
  /** Aborting cancels the run. */
  readonly signal?: AbortSignal;
  /** Names of inputs that came as path or query text: converted for declared integer, number, boolean. */
  readonly fromText?: readonly string[];
  /** Keys with a leading `_` from the daemon itself (`_path_params`, `_trigger`); never from a caller. */
  readonly daemonInputs?: JsonObject;
  /** The run is refused with `flow.definition_changed` unless the flow has this effective digest. */
  readonly digest?: Digest;
  /** An API run that is not waited for may take longer. */
  readonly async?: boolean;
  /** Flows already in the chain, when a block asked for this run. */
  readonly chain?: readonly FlowId[];
  /** Of a scheduled run: the fire that is kept together with it. */
  readonly fire?: ScheduleFire;
  /** Told the value of `_response`, if a step wrote it: the route's, never part of a result. */
  readonly onResponse?: (value: JsonValue) => void;
}

/** Deadline of a run in ms: what was asked for, within what its trigger may have. */
export function clampRunTimeout(timeoutMs: number | undefined, trigger: RunTrigger, isAsync = false): number {
  const byRequest = trigger === "api" || trigger === "route";
  const standard = byRequest ? API_RUN_SECONDS.standard : BACKGROUND_RUN_SECONDS;
  const most =
    trigger === "flow.run" ? 120 : !byRequest ? BACKGROUND_RUN_SECONDS : isAsync ? API_RUN_SECONDS.mostAsync : API_RUN_SECONDS.most;
  const asked = timeoutMs === undefined || Number.isNaN(timeoutMs) ? standard * 1000 : timeoutMs;
  return Math.min(Math.max(asked, API_RUN_SECONDS.least * 1000), most * 1000);
}

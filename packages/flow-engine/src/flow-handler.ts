import type { JsonObject } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { MOST_STEP_SECONDS } from "./limits.ts";
import type { FlowAsk, KernelHandler } from "./ports.ts";

/** Where a flow id is looked up when a call does not name a namespace. */
const STANDARD_NAMESPACE = "flow_id";

/** The end of a dictionary chain; the token itself when there is none. Memory only. */
export type ResolveToken = (namespace: string, token: string) => string;

/** `kernel:flow.execute_by_id`: a `flow` step whose flow is named while it runs, mapped through the dictionary where it asks so. */
export function flowHandlers(resolve: ResolveToken): KernelHandler[] {
  return [
    {
      name: "kernel:flow.execute_by_id",
      kind: "open",
      checkArgs: faultsOf,
      flow: (args) => flowAsk(args, resolve),
      run: () => null,
    },
  ];
}

function flowAsk(args: JsonObject, resolve: ResolveToken): FlowAsk {
  const [fault] = faultsOf(args);
  const { flow_id: written, inputs, timeout_seconds: seconds, resolve: resolved, resolve_namespace: namespace } = args;
  if (fault !== undefined || typeof written !== "string") throw new FlowError("kernel.invalid_args", fault ?? "flow_id must be a flow id");
  return {
    flow_id: resolved === true ? resolve(typeof namespace === "string" ? namespace : STANDARD_NAMESPACE, written) : written,
    inputs: inputs ?? {},
    timeout_ms: typeof seconds === "number" ? seconds * 1000 : null,
  };
}

function faultsOf(args: JsonObject): string[] {
  const { flow_id: flowId, inputs = null, timeout_seconds: seconds = null, resolve = null, resolve_namespace: namespace = null } = args;
  return [
    ...(typeof flowId === "string" && flowId !== "" ? [] : ["flow_id must be a flow id"]),
    ...(inputs === null || isJsonObject(inputs) ? [] : ["inputs must be a map"]),
    ...(seconds === null || isTimeout(seconds) ? [] : [`timeout_seconds must be a number over 0, at most ${MOST_STEP_SECONDS}`]),
    ...(resolve === null || typeof resolve === "boolean" ? [] : ["resolve must be true or false"]),
    ...(namespace === null || typeof namespace === "string" ? [] : ["resolve_namespace must be a text"]),
  ];
}

function isTimeout(seconds: unknown): boolean {
  return typeof seconds === "number" && seconds > 0 && seconds <= MOST_STEP_SECONDS;
}

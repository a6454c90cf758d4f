import { isListed } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import { FlowId, RumiError } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import type { FlowRunner, RunAnswer } from "@rumi/flow-engine";
import * as v from "valibot";
import { defineCapability } from "./define-capability.ts";
import { denied, done, failed } from "./outcome.ts";

/** Longest run that a block may wait for, ms. Source: page "Flows", section 7. */
const MAX_RUN_MS = 120_000;

/** Codes that say something about the caller's own inputs. */
const OWN_FAULTS: ReadonlySet<string> = new Set(["flow.invalid_input", "flow.input_type", "flow.input_too_large"]);

/**
 * `flow.run`: a flow that the grant names, as part of the run that the asking call belongs to. Its blocks act as their own
 * packs. It takes no slot, keeps the chain, and is cancelled with its caller.
 */
export function flowRun(deps: { readonly flows: Pick<FlowRunner, "run"> }): Capability {
  return defineCapability("flow.run", {
    args: v.strictObject({
      flow_id: FlowId,
      inputs: v.nullish(v.custom<JsonObject>((value) => typeof value === "object" && !Array.isArray(value), "inputs is an object")),
      timeout_seconds: v.nullish(v.pipe(v.number(), v.gtValue(0, "timeout_seconds is more than 0"))),
    }),
    outside: ({ args, config }) =>
      isListed(config, "allowed_flow_ids", args.flow_id) ? null : `the grant does not name the flow ${args.flow_id}`,
    run: async ({ args, caller, signal, timeout_ms: leftMs }) => {
      // Without a call there is no chain, and a loop of flows would have no end.
      if (caller.call === null) return denied("no call of the instance is in flight");
      const askedMs = (args.timeout_seconds ?? MAX_RUN_MS / 1000) * 1000;
      try {
        const answer = await deps.flows.run(args.flow_id, args.inputs ?? {}, {
          trigger: "flow.run",
          caller: caller.principal,
          chain: caller.call.chain,
          timeoutMs: Math.min(askedMs, MAX_RUN_MS, leftMs),
          signal,
        });
        return outcomeOf(answer);
      } catch (cause) {
        if (!(cause instanceof RumiError)) throw cause;
        return refusalOf(cause.code, cause.message);
      }
    },
  });
}

function outcomeOf(answer: RunAnswer): CapabilityOutcome {
  if (answer.truncated) return failed("response_too_large", "Response too large");
  if (answer.state === "completed") return done({ outputs: answer.result ?? {} });
  return refusalOf(answer.code ?? "flow.aborted", answer.reason ?? answer.state, answer.state);
}

/** What the pack is told: its own part in it, never what another pack's block said. */
function refusalOf(code: string, reason: string, state = "refused"): CapabilityOutcome {
  const facts = { reason: `${code}: ${reason}` };
  if (code === "flow.recursive") return failed("recursive_flow", "The flow is already running in this chain", facts);
  if (code === "flow.depth_exceeded") return failed("flow_depth_exceeded", "At most 10 flows may call each other", facts);
  if (OWN_FAULTS.has(code)) return failed("flow_execution_error", reason, facts);
  return failed("flow_execution_error", state === "timed_out" ? "The flow ran out of time" : "The flow did not complete", {
    ...facts,
    output: { state },
  });
}

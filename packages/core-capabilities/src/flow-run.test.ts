import type { FlowId } from "@rumi/core";
import { FlowError } from "@rumi/flow-engine";
import type { FlowRunner, RunAnswer, RunOptions } from "@rumi/flow-engine";
import { expect, test } from "vitest";
import { flowRun } from "./flow-run.ts";
import { ask, call, caller } from "./testing/ask.ts";

const GRANT = { allowed_flow_ids: ["beta.*"] };

function answer(over: Partial<RunAnswer> = {}): RunAnswer {
  return {
    state: "completed",
    code: null,
    reason: null,
    result: { a: 1 },
    truncated: false,
    failed_steps: [],
    warnings: [],
    ...over,
  } as RunAnswer;
}

function runner(run: (options: RunOptions) => RunAnswer | Promise<RunAnswer>): { seen: RunOptions[]; flows: Pick<FlowRunner, "run"> } {
  const seen: RunOptions[] = [];
  return {
    seen,
    flows: {
      run: async (_flow, _inputs, options) => {
        seen.push(options);
        return run(options);
      },
    },
  };
}

test("a granted flow runs as part of the asking call's chain, within its time", async () => {
  const { seen, flows } = runner(() => answer());
  const chain = ["alpha.main" as FlowId, "alpha.sub" as FlowId];
  const asked = { flow_id: "beta.go", inputs: { x: 1 }, timeout_seconds: 500 };
  expect(await ask(flowRun({ flows }), asked, { grant: GRANT, caller: caller("alpha", { call: call({ chain }) }) })).toEqual({
    ok: true,
    output: { outputs: { a: 1 } },
  });
  expect(seen).toMatchObject([{ trigger: "flow.run", caller: "alpha", chain, timeoutMs: 30_000 }]);
  await ask(flowRun({ flows }), asked, { grant: GRANT, timeout_ms: 600_000 });
  await ask(flowRun({ flows }), { flow_id: "beta.go", timeout_seconds: 2 }, { grant: GRANT });
  expect(seen.slice(1).map((options) => options.timeoutMs)).toEqual([120_000, 2_000]);
});

test("T44 T54 a flow that the grant does not name, and an unknown argument, are refused before anything runs", async () => {
  const { seen, flows } = runner(() => answer());
  for (const grant of [{}, { allowed_flow_ids: [] }, { allowed_flow_ids: ["gamma"] }]) {
    expect(await ask(flowRun({ flows }), { flow_id: "beta.go" }, { grant })).toMatchObject({ error_type: "permission_denied" });
  }
  for (const wrong of [{ steps: [] }, { inputs: [] }, { timeout_seconds: -1 }, { timeout_seconds: "x" }]) {
    expect(await ask(flowRun({ flows }), { flow_id: "beta.go", ...wrong }, { grant: GRANT })).toMatchObject({
      error_type: "validation_error",
    });
  }
  expect(seen).toEqual([]);
});

test("T54 recursion and depth have their own types", async () => {
  for (const [code, type] of [
    ["flow.recursive", "recursive_flow"],
    ["flow.depth_exceeded", "flow_depth_exceeded"],
    ["flow.not_found", "flow_execution_error"],
  ] as const) {
    const thrown = runner(() => Promise.reject(new FlowError(code, "in words")));
    expect(await ask(flowRun(thrown), { flow_id: "beta.go" }, { grant: GRANT })).toMatchObject({ ok: false, error_type: type });
  }
});

test("what another pack's block said stays with the operator", async () => {
  const { flows } = runner(() => answer({ state: "failed", code: "sandbox.block_error", reason: "sk-secret in /home/x", result: null }));
  const outcome = await ask(flowRun({ flows }), { flow_id: "beta.go" }, { grant: GRANT });
  expect(outcome).toMatchObject({ ok: false, error_type: "flow_execution_error", output: { state: "failed" } });
  expect(outcome.ok ? "" : outcome.error + JSON.stringify(outcome.output)).not.toContain("sk-secret");
  expect(outcome.ok ? "" : outcome.reason).toContain("sk-secret");
});

test("without a call in flight nothing runs: a loop of flows would have no end", async () => {
  const { seen, flows } = runner(() => answer());
  expect(await ask(flowRun({ flows }), { flow_id: "beta.go" }, { grant: GRANT, caller: caller("alpha", { call: null }) })).toMatchObject({
    error_type: "permission_denied",
  });
  expect(seen).toEqual([]);
});

test("it is cancelled with its caller", async () => {
  const stop = new AbortController();
  const { flows } = runner(
    (options) =>
      new Promise((resolve) => {
        options.signal?.addEventListener("abort", () =>
          resolve(answer({ state: "cancelled", code: "flow.cancelled", reason: "gone", result: null })),
        );
      }),
  );
  const outcome = ask(flowRun({ flows }), { flow_id: "beta.go" }, { grant: GRANT, signal: stop.signal });
  stop.abort();
  expect(await outcome).toMatchObject({ ok: false, output: { state: "cancelled" } });
});

test("a result that is too large is said to be", async () => {
  const { flows } = runner(() => answer({ truncated: true, result: null }));
  expect(await ask(flowRun({ flows }), { flow_id: "beta.go" }, { grant: GRANT })).toMatchObject({ error_type: "response_too_large" });
});

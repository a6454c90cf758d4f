import type { FlowId, JsonObject, JsonValue, RunId, StepId } from "@rumi/core";
import type { HandlerScope } from "@rumi/flow-engine";
import { flowFile, TestBench } from "@rumi/flow-engine/testing";
import { FakeSandbox } from "@rumi/sandbox/testing";
import { expect, onTestFinished, test } from "vitest";
import { libKernelHandlers } from "./lib-handlers.ts";
import { openLibPlace } from "./testing/lib-place.ts";

const SCOPE: HandlerScope = {
  run_id: "run_1" as RunId,
  flow_id: "startup" as FlowId,
  step_id: "s" as StepId,
  phase: "packs",
  idempotency_key: "run_1:s",
  chain: ["startup" as FlowId],
  principal: "system",
  ctx: { get: () => undefined, set: () => undefined },
  signal: new AbortController().signal,
};

async function scene() {
  const sandbox = new FakeSandbox({
    blocks: {
      "lib/install.py": () => 1,
      "lib/install.mjs": () => {
        throw new Error("no");
      },
    },
  });
  const place = await openLibPlace({ sandbox: () => sandbox });
  onTestFinished(() => place[Symbol.asyncDispose]());
  const handlers = libKernelHandlers(place);
  const call = async (name: string, args: JsonObject = {}): Promise<JsonValue> => {
    const handler = handlers.find((each) => each.name === `kernel:lib.${name}`);
    if (handler === undefined) throw new Error(`there is no ${name}`);
    return await handler.run(args, SCOPE);
  };
  return { ...place, handlers, call };
}

test("the operator's flows process, check, execute, list and clear", async () => {
  const place = await scene();
  const { call } = place;
  await place.approve("alpha", { "lib/install.py": "" });
  await place.approve("beta", { "lib/install.mjs": "" });
  await place.approve("gamma", { "blocks/a.py": "" });
  expect(await call("check", { pack_id: "alpha" })).toMatchObject({ result: "due", lib_type: "install" });
  expect(await call("process_all")).toEqual({
    counts: { done: 1, failed: 1, none: 1 },
    packs: [
      { pack_id: "alpha", lib_type: "install", result: "done", code: null, error: null },
      { pack_id: "beta", lib_type: "install", result: "failed", code: "lib.failed", error: "block_error: no" },
    ],
  });
  expect(await call("list_records")).toMatchObject([
    { pack_id: "alpha", success: true },
    { pack_id: "beta", success: false, failures: 1 },
  ]);
  expect(await call("list_records", { pack_id: "beta" })).toHaveLength(1);
  expect(await call("execute", { pack_id: "alpha" })).toMatchObject({ result: "skipped" });
  expect(await call("execute", { pack_id: "alpha", lib_type: "install" })).toMatchObject({ result: "done", output: "1" });
  expect(await call("clear_record", { pack_id: "alpha" })).toEqual({ cleared: true });
  expect(await call("check", { pack_id: "alpha" })).toMatchObject({ result: "due" });
});

test("execute fails as its run does", async () => {
  const place = await scene();
  const { call } = place;
  await place.approve("beta", { "lib/install.mjs": "" });
  for (let time = 0; time < 3; time += 1)
    await expect(call("execute", { pack_id: "beta", lib_type: "install" })).rejects.toMatchObject({ code: "lib.failed" });
  await expect(call("execute", { pack_id: "beta" })).rejects.toMatchObject({ code: "lib.gave_up" });
  await expect(call("execute", { pack_id: "beta", lib_type: "update" })).rejects.toMatchObject({ code: "lib.not_found" });
  await expect(call("execute", { pack_id: "unknown" })).rejects.toMatchObject({ code: "approval.pack_not_found" });
});

test("arguments that are none are refused, at load where they are literal", async () => {
  const { handlers, call } = await scene();
  const refused = { code: "kernel.invalid_args" };
  for (const name of ["check", "execute", "clear_record"])
    for (const args of [{}, { pack_id: 1 }, { pack_id: "../x" }])
      await expect(async () => await call(name, args)).rejects.toMatchObject(refused);
  await expect(async () => await call("list_records", { pack_id: ["a"] })).rejects.toMatchObject(refused);
  await expect(async () => await call("execute", { pack_id: "alpha", lib_type: "remove" })).rejects.toMatchObject(refused);
  expect(handlers.find((each) => each.name === "kernel:lib.check")?.checkArgs?.({})).toEqual(["pack_id must name a pack"]);
});

test("no flow of a pack, and none that is shared, may name them", async () => {
  const { handlers } = await scene();
  expect(new Set(handlers.map((handler) => handler.kind))).toEqual(new Set(["operator"]));
  const text = "flow_id: p.f\nphases: [m]\nsteps:\n  - { id: s, phase: m, type: handler, input: kernel:lib.process_all }\n";
  const bench = new TestBench([flowFile(text, { pack: "p" }), flowFile(text.replace("p.f", "f"))], { handlers });
  expect(bench.table.problems.map((problem) => problem.code)).toEqual(["flow.handler_not_allowed", "flow.handler_not_allowed"]);
});

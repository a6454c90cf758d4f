import type { AuditEvent, JsonValue } from "@rumi/core";
import { MemoryDiagnostics } from "@rumi/core/testing";
import { describe, expect, test } from "vitest";
import { clampRunTimeout } from "./run-options.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import { blockFails, blockGives, FakeBlocks, flowFile, TestBench } from "./testing/index.ts";
import type { FakeBlock, TestBenchOptions } from "./testing/index.ts";
import type { BlockOutcome } from "./ports.ts";

/** A flow `f` with one phase `a`; `head` may add fields. */
function flow(steps: string, head = ""): string {
  return `flow_id: f\nphases: [a]\n${head}\nsteps:\n${steps.replaceAll(/^/gmu, "  ")}\n`;
}

function set(id: string, key: string, value: string, more = ""): string {
  return `- {id: ${id}, phase: a, type: set, input: {key: ${key}, value: ${value}}${more === "" ? "" : `, ${more}`}}`;
}

function call(id: string, more = ""): string {
  return `- {id: ${id}, phase: a, type: file_call, owner_pack: p, file: ${id}.py${more === "" ? "" : `, ${more}`}}`;
}

/** A bench over flow `f` (and others) with blocks of pack `p` named by their step. */
function bench(text: string, blocks: Record<string, FakeBlock> = {}, options: TestBenchOptions = {}, ...others: string[]): TestBench {
  const named = Object.fromEntries(Object.entries(blocks).map(([id, block]) => [`p/${id}.py`, block]));
  const files = [text, ...others].map((each, index) => flowFile(each, { file: `${index}.flow.yaml` }));
  const made = new TestBench(files, { blocks: new FakeBlocks(named), ...options });
  expect(made.table.problems.filter((problem) => problem.severity === "error")).toEqual([]);
  return made;
}

function statuses(events: readonly AuditEvent[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { action, details } of events) {
    if (action !== "step" || typeof details?.["path"] !== "string" || typeof details["status"] !== "string") continue;
    const reason = details["reason"];
    found[details["path"]] = typeof reason === "string" ? `${details["status"]} ${reason}` : details["status"];
  }
  return found;
}

const gives =
  (value: JsonValue): FakeBlock =>
  () =>
    blockGives(value);
const fails =
  (code = "sandbox.block_error"): FakeBlock =>
  () =>
    blockFails(code);
/** A block that answers only when it is killed. */
const hangs: FakeBlock = (_call, signal) =>
  new Promise<BlockOutcome>((resolve) => {
    signal.addEventListener("abort", () => resolve(blockFails("sandbox.cancelled", "killed", false)), { once: true });
  });

describe("order and dependencies at run time", () => {
  test("F24 a failed step skips its dependents and nothing else", async () => {
    const made = bench(flow([call("a"), set("b", "b", "1", "depends_on: [a]"), set("c", "c", "1")].join("\n")), { a: fails() });
    const answer = await made.run("f");
    expect(answer).toMatchObject({ state: "completed", result: { c: 1 }, failed_steps: [{ step_id: "a", code: "sandbox.block_error" }] });
    expect(statuses(made.audit.events)).toEqual({ a: "failed", b: "skipped dependency", c: "done" });
  });

  test("F25 a step skipped by when skips its dependents and fails nothing", async () => {
    const made = bench(
      flow([set("a", "a", "1", "when: false"), set("b", "b", "1", "depends_on: [a]")].join("\n"), "defaults: {fail_soft: false}"),
    );
    expect(await made.run("f")).toMatchObject({ state: "completed", result: {}, failed_steps: [] });
    expect(statuses(made.audit.events)).toEqual({ a: "skipped when", b: "skipped dependency" });
  });

  test("F23 a dependency that does not exist skips the step", async () => {
    const made = bench(flow(set("a", "a", "1", "depends_on: [nope]")));
    expect(await made.run("f")).toMatchObject({ state: "completed", result: {} });
  });
});

describe("values", () => {
  test("F29 a caller's text is never expanded, nor read by a second step", async () => {
    const made = bench(flow([set("a", "x", '"${ctx.said}"'), set("b", "y", '"${ctx.x}!"')].join("\n"), "outputs: {x: any, y: any}"));
    expect((await made.run("f", { said: "${ctx.secret}", secret: "s" })).result).toEqual({ x: "${ctx.secret}", y: "${ctx.secret}!" });
  });

  test("F31 an input over its limit fails its step only", async () => {
    const made = bench(
      flow([set("a", "x", '"${ctx.t}${ctx.t}${ctx.t}${ctx.t}${ctx.t}"'), set("b", "y", "1")].join("\n"), "outputs: {x: any, y: any}"),
    );
    const answer = await made.run("f", { t: "x".repeat(1024 * 1024) });
    expect(answer).toMatchObject({ state: "completed", result: { x: null, y: 1 }, failed_steps: [{ code: "flow.input_too_large" }] });
  });

  test("the context has a limit over all its keys", async () => {
    const many = Array.from({ length: 12 }, (_, index) => set(`s${index}`, `k${index}`, '"${ctx.t}${ctx.t}${ctx.t}"')).join("\n");
    const answer = await bench(flow(many, "outputs: {}")).run("f", { t: "x".repeat(1024 * 1024) });
    expect(answer.failed_steps.map((step) => [step.step_id, step.code])).toEqual([
      ["s8", "flow.context_too_large"],
      ["s9", "flow.context_too_large"],
    ]);
  });

  test("F42 null is stored as null, a value whole, and a failed step leaves its key", async () => {
    const made = bench(
      flow(
        [set("s", "c", "kept"), call("a", "output: a"), call("b", "output: b"), call("c", "output: c")]
          .join("\n")
          .replaceAll("phase: a, type: set", "phase: a, priority: 1, type: set"),
      ),
      {
        a: gives(null),
        b: gives({ output: 1 }),
        c: fails(),
      },
    );
    expect((await made.run("f")).result).toEqual({ a: null, b: { output: 1 }, c: "kept" });
  });

  test("F51 declared outputs are returned, a missing one as null; without any, every key but internal ones", async () => {
    const steps = [set("a", "a", "1"), set("r", "_response", "{status: 201}")].join("\n");
    expect((await bench(flow(steps, "outputs: {a: any, z: any}")).run("f", { b: 2 })).result).toEqual({ a: 1, z: null });
    const responses: JsonValue[] = [];
    const answer = await bench(flow(steps)).run(
      "f",
      { b: 2 },
      { daemonInputs: { _method: "GET", plain: 1 }, onResponse: (value) => responses.push(value) },
    );
    expect(answer.result).toEqual({ a: 1, b: 2 });
    expect(responses).toEqual([{ status: 201 }]);
  });

  test("F51 a result over the limit is truncated to its sorted keys", async () => {
    const made = bench(flow([set("b", "b", '"${ctx.t}"'), set("a", "a", '"${ctx.t}"')].join("\n")), {}, { maxResponseBytes: 1000 });
    expect(await made.run("f", { t: "x".repeat(400) })).toMatchObject({ truncated: true, result: null, keys: ["a", "b", "t"] });
    expect(await made.run("f", { t: "x".repeat(10) })).toMatchObject({ truncated: false });
  });
});

describe("retry, failure and abort", () => {
  test("F38 two crashes and a good third attempt are done, under one idempotency key", async () => {
    let left = 2;
    const made = bench(flow(call("a", "output: r, retry: {max_attempts: 3, delay_seconds: 2, backoff: exponential}")), {
      a: () => {
        left -= 1;
        return left >= 0 ? blockFails("sandbox.crashed") : blockGives("ok");
      },
    });
    const answer = await made.run("f");
    expect(answer).toMatchObject({ state: "completed", result: { r: "ok" }, failed_steps: [], execution_mode: "container" });
    expect(made.blocks.calls.map((each) => each.attempt)).toEqual([1, 2, 3]);
    expect(new Set(made.blocks.calls.map((each) => each.idempotency_key))).toEqual(new Set([`${answer.run_id}:a`]));
    expect(new Set(made.blocks.calls.map((each) => each.call_id)).size).toBe(3);
    expect(made.pauses).toEqual([2000, 4000]);
  });

  test("F39 a refusal is tried once", async () => {
    const made = bench(flow(call("a", "retry: {max_attempts: 5}")), { a: fails("sandbox.docker_required") });
    expect(await made.run("f")).toMatchObject({
      state: "completed",
      failed_steps: [{ code: "sandbox.docker_required", attempts: 1 }],
      execution_mode: "rejected",
    });
    expect(made.blocks.calls).toHaveLength(1);
  });

  test("F40 a block's timeout reaches its call, and the next step runs", async () => {
    const made = bench(flow([call("a", "timeout_seconds: 2"), call("b"), call("c", "timeout_seconds: 120")].join("\n")), {
      a: fails("sandbox.timeout"),
      b: gives(1),
      c: gives(1),
    });
    const answer = await made.run("f", {}, { timeoutMs: 100_000 });
    expect(answer).toMatchObject({ state: "completed", failed_steps: [{ code: "sandbox.timeout" }] });
    expect(made.blocks.calls.map((each) => each.timeout_ms <= 2000 || each.timeout_ms)).toEqual([
      true,
      60_000,
      made.blocks.calls[2]?.timeout_ms,
    ]);
    expect(made.blocks.calls[2]?.timeout_ms).toBeLessThanOrEqual(100_000);
  });

  test("F41 without fail_soft the run fails with the block's code; on_error continue goes on", async () => {
    const steps = (more: string): string => flow([call("a", more), set("b", "b", "1")].join("\n"), "defaults: {fail_soft: false}");
    expect(await bench(steps(""), { a: fails("sandbox.oom_killed") }).run("f")).toMatchObject({
      state: "failed",
      code: "sandbox.oom_killed",
      reason: "it failed",
      result: null,
    });
    expect(await bench(steps("on_error: continue"), { a: fails("sandbox.oom_killed") }).run("f")).toMatchObject({
      state: "completed",
      result: { b: 1 },
    });
  });

  test("a container fails with the code of its step, starts over under retry, and forgets what failed before", async () => {
    let left = 1;
    const text = flow(
      "- id: c\n  phase: a\n  type: if\n  if: true\n  retry: {max_attempts: 2, delay_seconds: 0}\n  on_error: abort\n  then:\n    - {id: x, type: file_call, owner_pack: p, file: x.py, on_error: abort}\n    - {id: y, type: set, input: {key: y, value: 1}}",
    );
    const made = bench(text, {
      x: () => {
        left -= 1;
        return left >= 0 ? blockFails("sandbox.crashed") : blockGives(1);
      },
    });
    const answer = await made.run("f");
    expect(answer).toMatchObject({ state: "completed", result: { y: 1 }, failed_steps: [] });
    expect(made.blocks.calls.map((each) => each.step_path)).toEqual(["c/then/x", "c@2/then/x"]);
    expect(new Set(made.blocks.calls.map((each) => each.idempotency_key)).size).toBe(1);
    expect(await bench(text, { x: fails("sandbox.crashed") }).run("f")).toMatchObject({ state: "failed", code: "sandbox.crashed" });
  });

  test("F43 a block's abort ends the run with its reason; its value is stored, later steps do not run", async () => {
    const diagnostics = new MemoryDiagnostics();
    const made = bench(
      flow([call("a", "output: r"), call("b")].join("\n")),
      { a: gives({ __flow_control: "abort", reason: "bad" }), b: gives(1) },
      { deps: { diagnostics } },
    );
    expect(await made.run("f")).toMatchObject({
      state: "aborted",
      code: null,
      reason: "bad",
      result: { r: { __flow_control: "abort", reason: "bad" } },
      failed_steps: [],
    });
    expect(made.blocks.calls).toHaveLength(1);
    expect(diagnostics.reports).toMatchObject([{ code: "flow.aborted", message: expect.stringContaining("bad") }]);
    expect(await bench(flow(call("a")), { a: gives({ __flow_control: "abort" }) }).run("f")).toMatchObject({ reason: "aborted by step a" });
    expect((await bench(flow(call("a")), { a: gives({ __flow_control: "abort", reason: "é".repeat(900) }) }).run("f")).reason).toHaveLength(
      500,
    );
  });

  test("an unknown flow control is a warning", async () => {
    expect(await bench(flow(call("a", "output: r")), { a: gives({ __flow_control: "jump" }) }).run("f")).toMatchObject({
      state: "completed",
      warnings: [expect.stringContaining("flow.unknown_control")],
    });
  });

  test("F44 data of a caller never aborts through a handler or a set", async () => {
    const steps = [
      "- {id: a, phase: a, type: handler, input: {handler: 'kernel:ctx.get', args: {key: evil}}, output: x}",
      set("b", "y", '"${ctx.evil}"'),
    ].join("\n");
    expect(await bench(flow(steps)).run("f", { evil: { __flow_control: "abort", reason: "no" } })).toMatchObject({
      state: "completed",
      warnings: [],
    });
  });

  test("F46 a missing pack is missing and completed; a failure when the flow says so", async () => {
    const made = bench(flow([call("a"), set("b", "b", "1", "depends_on: [a]"), set("c", "c", "1")].join("\n")));
    expect(await made.run("f")).toMatchObject({
      state: "completed",
      failed_steps: [],
      result: { c: 1 },
      warnings: [expect.stringContaining("a was skipped")],
    });
    expect(statuses(made.audit.events)).toMatchObject({ a: "missing", b: "skipped dependency" });
    const strict = flow(call("a"), "defaults: {fail_soft: false, on_missing_step: fail}");
    expect(await bench(strict).run("f")).toMatchObject({ state: "failed", code: "flow.missing_target" });
  });

  test("a handler that throws fails its step, whatever it throws", async () => {
    const handlers = [...contextHandlers(), { name: "kernel:boom", kind: "open", run: () => Promise.reject(new Error("broken")) } as const];
    expect(await bench(flow("- {id: a, phase: a, type: handler, input: 'kernel:boom'}"), {}, { handlers }).run("f")).toMatchObject({
      state: "completed",
      failed_steps: [{ code: "kernel.failed", message: "Error: broken" }],
    });
  });

  test("a function step without functions is missing", async () => {
    expect(await bench(flow("- {id: a, phase: a, type: function, function: 'p:x'}")).run("f")).toMatchObject({
      state: "completed",
      warnings: [expect.stringContaining("p:x")],
    });
  });
});

describe("containers", () => {
  const body = "{id: x, type: set, input: {key: inner, value: '${ctx.item}'}}";
  test("F34 foreach collects in order under concurrency, and its body's keys are gone", async () => {
    const text = flow(
      "- {id: l, phase: a, type: foreach, items: [1, 2, 3], concurrency: 3, collect: '${ctx.item}', output: r, steps: [{id: w, type: file_call, owner_pack: p, file: w.py, input: '${ctx.item}'}]}",
    );
    const made = bench(text, {
      w: async (each) => new Promise((resolve) => setTimeout(() => resolve(blockGives(1)), 20 - 5 * Number(each.input))),
    });
    expect((await made.run("f")).result).toEqual({ r: [1, 2, 3] });
    expect(made.blocks.calls.map((each) => each.step_path)).toEqual(["l/0/w", "l/1/w", "l/2/w"]);
    expect(
      (
        await bench(
          flow(
            `- {id: l, phase: a, type: foreach, items: {a: 1}, steps: [${body}], collect: ['\${ctx.index}', '\${ctx.item.key}', '\${ctx.inner.value}'], output: r}`,
          ),
        ).run("f")
      ).result,
    ).toEqual({ r: [[0, "a", 1]] });
  });

  test("F34 a failed pass starts no new one and fails the step", async () => {
    const made = bench(
      flow(
        "- {id: l, phase: a, type: foreach, items: [1, 2, 3], steps: [{id: w, type: file_call, owner_pack: p, file: w.py, on_error: abort}]}",
      ),
      { w: fails() },
    );
    expect((await made.run("f")).failed_steps.map((step) => step.step_path)).toEqual(["l/0/w", "l"]);
    expect(made.blocks.calls).toHaveLength(1);
  });

  test("F35 text is not iterable, null is no item, if: false runs only else", async () => {
    const each = (items: string): string =>
      flow(`- {id: l, phase: a, type: foreach, items: '${items}', steps: [${body}], collect: 1, output: r}`);
    expect(await bench(each("text")).run("f")).toMatchObject({ failed_steps: [{ code: "flow.not_iterable" }] });
    expect((await bench(each("${ctx.missing}")).run("f")).result).toEqual({ r: [] });
    const made = bench(
      flow(
        "- {id: i, phase: a, type: if, if: false, then: [{id: t, type: set, input: {key: t, value: 1}}], else: [{id: e, type: set, input: {key: e, value: 1}}]}",
      ),
    );
    expect((await made.run("f")).result).toEqual({ e: 1 });
  });

  test("F36 repeat runs until its condition holds, or fails exhausted", async () => {
    let n = 0;
    const steps = "steps: [{id: w, type: file_call, owner_pack: p, file: w.py, output: n}]";
    const made = bench(flow(`- {id: r, phase: a, type: repeat, until: '\${ctx.n} >= 3', delay_seconds: 1, ${steps}}`), {
      w: () => blockGives((n += 1)),
    });
    expect(await made.run("f")).toMatchObject({ result: { n: 3 }, failed_steps: [] });
    expect(made.pauses).toEqual([1000, 1000]);
    const never = bench(flow(`- {id: r, phase: a, type: repeat, until: 'false', max_iterations: 2, ${steps}}`), { w: gives(1) });
    expect(await never.run("f")).toMatchObject({ failed_steps: [{ code: "flow.repeat_exhausted" }] });
    const exactly = bench(
      flow(`- {id: r, phase: a, type: repeat, max_iterations: 2, steps: [{id: s, type: set, input: {key: last, value: '\${ctx.index}'}}]}`),
    );
    expect((await exactly.run("f")).result).toEqual({ last: 1 });
  });

  test("F37 branches see the start and their own writes; both keys are there after", async () => {
    const branch = (id: string, key: string, other: string): string =>
      `[{id: ${id}1, type: set, input: {key: ${key}, value: 1}}, {id: ${id}2, type: file_call, owner_pack: p, file: w.py, input: ['\${ctx.${key}}', '\${ctx.${other}}']}]`;
    const made = bench(flow(`- {id: p, phase: a, type: parallel, branches: {l: ${branch("l", "x", "y")}, r: ${branch("r", "y", "x")}}}`), {
      w: gives(1),
    });
    expect((await made.run("f")).result).toEqual({ x: 1, y: 1 });
    expect(made.blocks.calls.map((each) => [each.step_path, each.input])).toEqual([
      ["p/l/l2", [1, null]],
      ["p/r/r2", [1, null]],
    ]);
  });

  test("F37 all branches finish, the first failed in order fails the step, nothing merges", async () => {
    const made = bench(
      flow(
        "- {id: p, phase: a, type: parallel, branches: {l: [{id: s, type: set, input: {key: k, value: 1}}, {id: x, type: file_call, owner_pack: p, file: x.py, on_error: abort}], r: [{id: y, type: file_call, owner_pack: p, file: y.py, on_error: abort}]}}",
      ),
      {
        x: async () => new Promise((resolve) => setTimeout(() => resolve(blockFails("sandbox.crashed")), 10)),
        y: fails("sandbox.timeout"),
      },
    );
    const answer = await made.run("f");
    expect(answer.result).toEqual({});
    expect(answer.failed_steps.find((step) => step.step_id === "p")?.code).toBe("sandbox.crashed");
  });

  test("a container over its timeout fails with step_timeout, its call is killed, the run goes on", async () => {
    const made = bench(
      flow(
        [
          "- {id: c, phase: a, priority: 1, type: if, if: true, timeout_seconds: 0.05, then: [{id: h, type: file_call, owner_pack: p, file: h.py}]}",
          set("s", "s", "1"),
        ].join("\n"),
      ),
      { h: hangs },
    );
    expect(await made.run("f")).toMatchObject({
      state: "completed",
      result: { s: 1 },
      failed_steps: [{ step_id: "c", code: "flow.step_timeout" }],
    });
  });

  test("at most 16 block calls of one run are in flight", async () => {
    let now = 0;
    let most = 0;
    const branches = ["l", "r"]
      .map(
        (name) =>
          `${name}: [{id: ${name}, type: foreach, items: '\${ctx.l}', concurrency: 16, steps: [{id: ${name}w, type: file_call, owner_pack: p, file: w.py}]}]`,
      )
      .join(", ");
    const made = bench(flow(`- {id: p, phase: a, type: parallel, branches: {${branches}}}`, "outputs: {}"), {
      w: async () => {
        now += 1;
        most = Math.max(most, now);
        await new Promise((resolve) => setTimeout(resolve, 1));
        now -= 1;
        return blockGives(1);
      },
    });
    expect((await made.run("f", { l: Array.from({ length: 40 }, () => 1) })).state).toBe("completed");
    expect(most).toBe(16);
  });

  test("a run executes at most 100,000 steps", async () => {
    const made = bench(
      flow(
        "- {id: o, phase: a, type: foreach, items: '${ctx.l}', steps: [{id: i, type: foreach, items: '${ctx.l}', steps: [{id: s, type: set, input: {key: k}}]}]}",
      ),
      {},
      { audit: { record: () => Promise.resolve() } },
    );
    expect(await made.run("f", { l: Array.from({ length: 400 }, () => 0) })).toMatchObject({ state: "failed", code: "flow.loop_limit" });
  });
});

describe("sub-flows", () => {
  const child = (id: string, steps: string, head = ""): string => flow(steps, head).replace("flow_id: f", `flow_id: ${id}`);
  const sub = (id: string, more = ""): string => `- {id: s, phase: a, type: flow, flow: ${id}${more === "" ? "" : `, ${more}`}}`;

  test("a child sees only its input and gives its result", async () => {
    const made = bench(
      flow(sub("g", "input: {x: '${ctx.n}'}, output: r")),
      {},
      {},
      child("g", set("c", "y", "['${ctx.x}', '${ctx.n}']"), "outputs: {y: any}"),
    );
    expect((await made.run("f", { n: 5 })).result).toEqual({ n: 5, r: { y: [5, null] } });
    expect(statuses(made.audit.events)).toEqual({ "s/c": "done", s: "done" });
  });

  test("F45 a child's abort fails the parent's step, the parent goes on", async () => {
    const made = bench(
      flow([sub("g"), set("t", "t", "1", "priority: 200")].join("\n")),
      { a: gives({ __flow_control: "abort", reason: "enough" }) },
      {},
      child("g", call("a")),
    );
    expect(await made.run("f")).toMatchObject({
      state: "completed",
      result: { t: 1 },
      failed_steps: [{ step_id: "s", code: "flow.child_aborted", message: "flow g aborted: enough" }],
    });
  });

  test("a child's failure is child_failed and may be retried, with the attempt in its paths", async () => {
    const made = bench(
      flow(sub("g", "retry: {max_attempts: 2, delay_seconds: 0}")),
      { a: fails() },
      {},
      child("g", call("a"), "defaults: {fail_soft: false}"),
    );
    expect((await made.run("f")).failed_steps.map((step) => [step.step_path, step.code])).toEqual([
      ["s@2/a", "sandbox.block_error"],
      ["s", "flow.child_failed"],
    ]);
    expect(made.blocks.calls.map((each) => [each.step_path, each.idempotency_key.split(":")[1]])).toEqual([
      ["s/a", "s/a"],
      ["s@2/a", "s/a"],
    ]);
  });

  test("F47 a chain that comes back is recursive, eleven flows are too deep", async () => {
    const made = bench(flow(sub("g")), {}, {}, child("g", sub("f", "on_error: abort")));
    expect((await made.run("f")).failed_steps[0]).toMatchObject({
      step_path: "s/s",
      code: "flow.recursive",
      details: { chain: ["f", "g", "f"] },
    });
    const chain = Array.from({ length: 11 }, (_, index) => child(`d${index}`, index === 10 ? set("e", "e", "1") : sub(`d${index + 1}`)));
    const deep = bench(flow(set("x", "x", "1")), {}, {}, ...chain);
    expect((await deep.run("d0")).failed_steps[0]).toMatchObject({
      code: "flow.depth_exceeded",
      details: { chain: chain.map((_, index) => `d${index}`) },
    });
    expect(await deep.run("d1")).toMatchObject({ failed_steps: [] });
    await expect(deep.run("f", {}, { trigger: "flow.run", chain: ["a", "f"] as never })).rejects.toMatchObject({ code: "flow.recursive" });
  });

  test("F48 a pack's flow may run its own flows, another's only by right", async () => {
    const files = [
      flowFile(
        "flow_id: p\nphases: [a]\nsteps: [{id: own, phase: a, type: flow, flow: p.b, output: own}, {id: other, phase: a, type: flow, flow: q.x, output: other}]\n",
        { pack: "p" },
      ),
      flowFile("flow_id: p.b\nphases: [a]\nsteps: []\n", { pack: "p", file: "b.flow.yaml" }),
      flowFile("flow_id: q.x\nphases: [a]\nsteps: [{id: b, phase: a, type: file_call, file: b.py}]\n", { pack: "q" }),
    ];
    const blocks = new FakeBlocks({ "q/b.py": gives(1) });
    const denied = new TestBench(files, { blocks });
    expect(await denied.run("p")).toMatchObject({
      result: { own: {} },
      failed_steps: [{ step_id: "other", code: "flow.run_denied" }],
    });
    expect(denied.audit.events.filter(({ category }) => category === "security")).toMatchObject([
      { action: "flow.run_denied", success: false, owner_pack: "p", step_id: "other" },
    ]);
    const asked: string[] = [];
    const rights = {
      mayRunFlow: (principal: string, id: string): boolean => {
        asked.push(`${principal} ${id}`);
        return true;
      },
    };
    expect(await new TestBench(files, { blocks, deps: { rights } }).run("p")).toMatchObject({ failed_steps: [] });
    expect(asked).toEqual(["p q.x"]);
    expect(blocks.calls[0]?.owner_pack).toBe("q");
  });

  test("official flows are not anyone's sub-flows", async () => {
    const made = new TestBench([flowFile(flow(sub("startup"))), flowFile(child("startup", set("x", "x", "1")), { source: "official" })]);
    expect((await made.run("f")).failed_steps[0]?.code).toBe("flow.not_runnable");
  });
});

describe("inputs", () => {
  test("F49 keys with a leading _ are dropped with a warning; other names are plain data", async () => {
    const answer = await bench(flow(set("a", "a", '"${ctx._principal_id}"'))).run("f", {
      _principal_id: "core",
      permission_manager: { x: 1 },
      constructor: 2,
    });
    expect(answer).toMatchObject({
      result: { a: null, permission_manager: { x: 1 } },
      warnings: [expect.stringContaining("_principal_id")],
    });
    expect(Object.hasOwn(answer.result ?? {}, "constructor")).toBe(true);
  });

  test("F50 declared types hold; path and query text is converted; inputs must be a map", async () => {
    const made = bench(
      flow(
        set("a", "a", "1"),
        "inputs: {n: integer, x: {type: number}, b: {type: boolean, default: false}, s: {type: string, required: true}}",
      ),
    );
    await expect(made.run("f", { n: "5", s: "" })).rejects.toMatchObject({ code: "flow.input_type" });
    await expect(made.run("f", {})).rejects.toMatchObject({ code: "flow.input_type" });
    await expect(made.run("f", { s: 1 })).rejects.toMatchObject({ code: "flow.input_type" });
    for (const inputs of [[1], null, "x", 5]) await expect(made.run("f", inputs)).rejects.toMatchObject({ code: "flow.invalid_input" });
    const answer = await made.run("f", { n: "5", x: "1.5", b: "true", s: "7" }, { fromText: ["n", "x", "b", "s"] });
    expect(answer.result).toEqual({ a: 1, n: 5, x: 1.5, b: true, s: "7" });
    await expect(made.run("f", { n: "5.5", s: "" }, { fromText: ["n"] })).rejects.toMatchObject({ code: "flow.input_type" });
    expect((await made.run("f", { s: "" })).result).toEqual({ a: 1, s: "", b: false });
  });
});

describe("the runner", () => {
  test("F52 the eleventh run is refused, and a slot is free again after a failure", async () => {
    const made = bench(flow(call("a"), "defaults: {fail_soft: false}"), { a: hangs });
    const stop = new AbortController();
    const runs = Array.from({ length: 10 }, () => made.run("f", {}, { signal: stop.signal }));
    await expect(made.run("f")).rejects.toMatchObject({ code: "flow.too_many_runs" });
    expect(made.runner.list()).toHaveLength(10);
    stop.abort();
    expect((await Promise.all(runs)).map((answer) => answer.state)).toEqual(Array.from({ length: 10 }, () => "cancelled"));
    const failing = bench(flow(call("a"), "defaults: {fail_soft: false}"), { a: fails() }, { maxConcurrentRuns: 1 });
    expect(await failing.run("f")).toMatchObject({ state: "failed" });
    expect(await failing.run("f")).toMatchObject({ state: "failed" });
    await expect(failing.run("f", [])).rejects.toMatchObject({ code: "flow.invalid_input" });
    expect(await failing.run("f")).toMatchObject({ state: "failed" });
  });

  test("F52 ten runs of five levels end: children take no slot", async () => {
    const level = (index: number): string =>
      `flow_id: l${index}\nphases: [a]\nsteps: [{id: s, phase: a, type: ${index === 4 ? "file_call, owner_pack: p, file: a.py" : `flow, flow: l${index + 1}`}}]\n`;
    const made = bench(
      flow(set("x", "x", "1")),
      { a: async () => new Promise((resolve) => setTimeout(() => resolve(blockGives(1)), 1)) },
      {},
      ...Array.from({ length: 5 }, (_, index) => level(index)),
    );
    const answers = await Promise.all(Array.from({ length: 10 }, () => made.run("l0")));
    expect(answers.every((answer) => answer.state === "completed" && answer.failed_steps.length === 0)).toBe(true);
  });

  test("F53 an API run may take 1 to 600 s, 300 by itself", async () => {
    expect(clampRunTimeout(200, "api")).toBe(1000);
    expect(clampRunTimeout(9_999_000, "api")).toBe(600_000);
    expect(clampRunTimeout(undefined, "api")).toBe(300_000);
    expect(clampRunTimeout(9_999_000, "api", true)).toBe(9_999_000);
    expect(clampRunTimeout(1e12, "api", true)).toBe(86_400_000);
    expect(clampRunTimeout(9_999_000, "flow.run")).toBe(120_000);
    const killed: boolean[] = [];
    const made = bench(flow([call("a"), set("b", "b", "1")].join("\n")), {
      a: async (each, signal) => {
        const outcome = await hangs(each, signal);
        killed.push(signal.aborted);
        return outcome;
      },
    });
    expect(await made.run("f", {}, { timeoutMs: 200 })).toMatchObject({
      state: "timed_out",
      code: "flow.timeout",
      result: null,
      failed_steps: [],
    });
    expect(killed).toEqual([true]);
  });

  test("F54 official flows are not runnable by request, unknown ones not found, without a list", async () => {
    const made = new TestBench([flowFile(flow(set("a", "a", "1")).replace("flow_id: f", "flow_id: startup"), { source: "official" })]);
    await expect(made.run("startup")).rejects.toMatchObject({ code: "flow.not_runnable" });
    expect(await made.run("startup", {}, { trigger: "boot" })).toMatchObject({ state: "completed" });
    await expect(made.run("nope")).rejects.toMatchObject({ code: "flow.not_found", message: "there is no such flow" });
  });

  test("F14 a flow whose pack is closed is refused with the pack's reason, and that is audited; another stays not found", async () => {
    const refusal = {
      allowed: false,
      code: "approval.modified",
      reason: "it was modified after its approval",
      remedy: "rumi pack review p",
    } as const;
    const closed = { refusal: (id: string) => (id === "p.a" ? refusal : null) };
    const made = new TestBench([flowFile(flow(set("a", "a", "1")))], { deps: { closed } });
    await expect(made.run("p.a")).rejects.toMatchObject({ code: "approval.modified", remedy: "rumi pack review p" });
    expect(made.audit.events).toMatchObject([
      { category: "flow_execution", action: "flow_run", success: false, flow_id: "p.a" },
      { category: "security", action: "approval.modified", success: false, flow_id: "p.a", rejection_reason: refusal.reason },
    ]);
    await expect(made.run("p.b")).rejects.toMatchObject({ code: "flow.not_found" });
  });

  test("F61 a run keeps the table it began with", async () => {
    const gate = Promise.withResolvers<BlockOutcome>();
    const made = bench(flow([call("a"), set("b", "b", "old", "priority: 200")].join("\n")), { a: () => gate.promise });
    const running = made.run("f");
    made.table = new TestBench([flowFile(flow(set("b", "b", "new")))]).table;
    gate.resolve(blockGives(1));
    expect((await running).result).toEqual({ b: "old" });
    expect((await made.run("f")).result).toEqual({ b: "new" });
  });

  test("cancel kills the call and ends the run; an ended one is run_finished", async () => {
    const made = bench(flow([call("a"), set("b", "b", "1")].join("\n")), { a: hangs });
    const { run_id: runId, done } = made.runner.start("f", {}, { caller: "test", trigger: "api" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(made.runner.get(runId)).toMatchObject({ state: "running", flow_id: "f", caller: "test" });
    made.runner.cancel(runId, "enough");
    expect(await done).toMatchObject({ state: "cancelled", code: "flow.cancelled", reason: "enough" });
    expect(() => made.runner.cancel(runId)).toThrowError(expect.objectContaining({ code: "flow.run_finished" }));
    expect(() => made.runner.cancel("run_nope")).toThrowError(expect.objectContaining({ code: "flow.run_not_found" }));
    expect(made.runner.get(runId)).toMatchObject({ state: "cancelled" });
  });

  test("a run of steps that never wait can still be cancelled", async () => {
    const made = bench(
      flow("- {id: o, phase: a, type: foreach, items: '${ctx.l}', steps: [{id: s, type: set, input: {key: k}}]}"),
      {},
      { audit: { record: () => Promise.resolve() } },
    );
    const { run_id: runId, done } = made.runner.start(
      "f",
      { l: Array.from({ length: 9000 }, () => 0) },
      { caller: "test", trigger: "api" },
    );
    setImmediate(() => made.runner.cancel(runId));
    expect(await done).toMatchObject({ state: "cancelled" });
  });

  test("drain lets calls end, starts no further step and no run", async () => {
    const gate = Promise.withResolvers<BlockOutcome>();
    const made = bench(flow([call("a", "output: a"), call("b")].join("\n")), { a: () => gate.promise, b: gives(1) });
    const running = made.run("f");
    await new Promise((resolve) => setImmediate(resolve));
    const drained = made.runner.drain(60_000);
    await expect(made.run("f")).rejects.toMatchObject({ code: "daemon.stopping" });
    gate.resolve(blockGives(1));
    await drained;
    expect(await running).toMatchObject({ state: "cancelled", code: "daemon.stopping" });
    expect(made.blocks.calls).toHaveLength(1);
    expect(statuses(made.audit.events)).toEqual({ a: "done" });
  });

  test("drain kills what does not end in time", async () => {
    const made = bench(flow(call("a")), { a: hangs });
    const running = made.run("f");
    await made.runner.drain(10);
    expect(await running).toMatchObject({ state: "cancelled", code: "daemon.stopping" });
  });

  test("a digest asked for must be the flow's", async () => {
    const made = bench(flow(set("a", "a", "1")));
    const digest = made.table.get("f")?.digest ?? ("" as never);
    expect(await made.run("f", {}, { digest })).toMatchObject({ state: "completed", digest });
    await expect(made.run("f", {}, { digest: `sha256:${"0".repeat(64)}` as never })).rejects.toMatchObject({
      code: "flow.definition_changed",
    });
  });

  test("a call carries what its block's context needs, and the flow's inputs", async () => {
    const made = bench(flow(call("a", "input: {x: '${ctx.n}'}, timeout_seconds: 5")), { a: gives(1) });
    const answer = await made.run("f", { n: 5 });
    expect(made.blocks.calls[0]).toMatchObject({
      run_id: answer.run_id,
      flow_id: "f",
      step_id: "a",
      step_path: "a",
      phase: "a",
      attempt: 1,
      owner_pack: "p",
      file: "a.py",
      runtime: "python",
      input: { x: 5 },
      inputs: { n: 5 },
    });
  });

  test("a run and each of its steps leave one audit entry; a broken audit stops nothing", async () => {
    const made = bench(flow([set("a", "a", "1"), call("b")].join("\n")), { b: gives(1) });
    const answer = await made.run("f");
    expect(made.audit.events.map((event) => [event.category, event.action, event.step_id, event.success])).toEqual([
      ["flow_execution", "step", "a", true],
      ["flow_execution", "step", "b", true],
      ["flow_execution", "flow_run", undefined, true],
    ]);
    expect(made.audit.events.at(-1)).toMatchObject({
      run_id: answer.run_id,
      flow_id: "f",
      digest: answer.digest,
      execution_mode: "container",
      details: { state: "completed", steps: 2 },
    });
    expect(
      await bench(flow(set("a", "a", "1")), {}, { audit: { record: () => Promise.reject(new Error("disk full")) } }).run("f"),
    ).toMatchObject({ state: "completed" });
  });

  test("the kernel's context handlers read, write and copy data", async () => {
    const handler = (id: string, name: string, args: string): string =>
      `- {id: ${id}, phase: a, type: handler, input: {handler: 'kernel:${name}', args: ${args}}, output: o_${id}}`;
    const steps = [
      handler("a", "ctx.set", "{key: x, value: ['${ctx.n}']}"),
      handler("b", "ctx.copy", "{from_key: x, to_key: y}"),
      handler("c", "ctx.get", "{key: gone, default: 7}"),
      handler("d", "noop", "{}"),
    ].join("\n");
    expect((await bench(flow(steps)).run("f", { n: 1 })).result).toEqual({ n: 1, x: [1], y: [1], o_a: [1], o_b: [1], o_c: 7, o_d: null });
  });
});

test("a run that records faster than its entries are taken waits for them", async () => {
  const room = Promise.withResolvers<void>();
  let entries = 0;
  const audit = {
    record: (): Promise<void> => {
      entries += 1;
      return entries < 2_000 ? room.promise : Promise.resolve();
    },
  };
  const steps = Array.from({ length: 700 }, (_, n) => set(`s${n}`, "a", "1"));
  const made = new TestBench([flowFile(flow(steps.join("\n")))], { audit });
  const running = made.run("f");
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(entries).toBeLessThan(700);
  room.resolve();
  expect(await running).toMatchObject({ state: "completed" });
});

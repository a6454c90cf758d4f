import { join } from "node:path";
import type { FlowId, JsonObject, JsonValue, PackId, RunId, StepId } from "@rumi/core";
import { sha256, systemRandom } from "@rumi/core";
import { ManualClock, MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import type { HandlerScope } from "@rumi/flow-engine";
import { blockGives, FakeBlocks, flowFile, TestBench } from "@rumi/flow-engine/testing";
import { SandboxError } from "@rumi/sandbox";
import type { RunResult, RunSpec } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { PackVocabulary, parseVocab, SharedDictionary } from "@rumi/vocabulary";
import { expect, test } from "vitest";
import type { CallOrigin } from "../gateway/ports.ts";
import type { ApprovalGate, InstanceSeed } from "../ports.ts";
import { dictionaryKernelHandlers } from "./dictionary-handlers.ts";
import { PackConverters } from "./pack-converters.ts";
import type { PackVocabFacts } from "./vocabulary-catalog.ts";
import { vocabularyKernelHandlers } from "./vocabulary-handlers.ts";

const DIGEST = sha256("alpha");
const ALPHA: PackVocabFacts = {
  pack_id: "alpha" as PackId,
  digest: DIGEST,
  uses_vocab: true,
  vocab: parseVocab("content, text"),
  converters: [{ from: "tool", to: "call", file: "converters/tool_to_call.py", runtime: "python" }],
};
const FACTS = { duration_ms: 1, start: "warm", log: { bytes: 0, dropped: 0 } } as const;

interface Ran {
  readonly seed: InstanceSeed;
  readonly spec: RunSpec;
  readonly origin: CallOrigin | null | undefined;
}

function place(
  run: (spec: RunSpec) => RunResult | Error = (spec) => ({ ...FACTS, kind: "ok", value: [spec.input], streaming: false, warnings: [] }),
) {
  const ran: Ran[] = [];
  const audit = new MemoryAudit();
  const catalog = { facts: (pack: string) => (pack === "alpha" ? ALPHA : undefined) };
  const closed = new Set<string>();
  let digest = DIGEST;
  const gate: Pick<ApprovalGate, "gate"> = {
    gate: (pack) =>
      pack !== "alpha" || closed.has(pack)
        ? { allowed: false, code: "approval.not_approved", reason: "not approved" }
        : {
            allowed: true,
            digest,
            root: "/snapshots/alpha",
            subdir: "",
            listing: { digest, entries: [] } as never,
            pack: { reuse: false },
          },
  };
  const converters = new PackConverters(
    {
      catalog,
      gate,
      pool: {
        run: async (seed, spec, _signal, origin) => {
          ran.push({ seed, spec, origin });
          const result = run(spec);
          if (result instanceof Error) throw result;
          return result;
        },
      },
      audit,
      clock: new ManualClock(),
      random: systemRandom,
      logger: silentLogger,
      redact: (text) => text.replaceAll("s3cret", "***"),
    },
    { maxResultBytes: 1000 },
  );
  const handlers = vocabularyKernelHandlers({ catalog, converters });
  return { ran, audit, closed, handlers, approveOthers: () => (digest = sha256("others")) };
}

const scope = (principal = "alpha"): HandlerScope => ({
  run_id: "run_1" as RunId,
  flow_id: "alpha.f" as FlowId,
  step_id: "s" as StepId,
  phase: "main",
  idempotency_key: "run_1:s",
  chain: ["root" as FlowId, "alpha.f" as FlowId],
  principal,
  ctx: { get: () => undefined, set: () => undefined },
  signal: new AbortController().signal,
});

async function call(
  handlers: ReturnType<typeof place>["handlers"],
  name: string,
  args: JsonObject = {},
  principal?: string,
): Promise<JsonValue> {
  const handler = handlers.find((each) => each.name === `kernel:${name}`);
  if (handler === undefined) throw new Error(`there is no ${name}`);
  return await handler.run(args, scope(principal));
}

test("a pack's step sees its own words; the system's names a pack; nobody else's are shown", async () => {
  const { handlers } = place();
  expect(handlers.map((handler) => handler.kind)).toEqual(["open", "open", "open", "open"]);
  const own: JsonValue = [{ preferred: "content", terms: ["content", "text"] }];
  expect(await call(handlers, "vocab.list_groups")).toEqual(own);
  expect(await call(handlers, "vocab.list_groups", { pack_id: "alpha" })).toEqual(own);
  expect(await call(handlers, "vocab.list_groups", { pack_id: "alpha" }, "system")).toEqual(own);
  expect(await call(handlers, "vocab.list_groups", {}, "beta")).toEqual([]);
  expect(await call(handlers, "vocab.list_converters")).toEqual([{ from: "tool", to: "call", file: "converters/tool_to_call.py" }]);
  expect(await call(handlers, "vocab.summary")).toEqual({
    pack_id: "alpha",
    uses_vocab: true,
    groups: 1,
    terms: 2,
    converters: 1,
    problems: 0,
  });
  const refused = { code: "kernel.invalid_args" };
  for (const name of ["vocab.list_groups", "vocab.list_converters", "vocab.summary"]) {
    await expect(call(handlers, name, { pack_id: "alpha" }, "beta")).rejects.toMatchObject(refused);
    await expect(call(handlers, name, {}, "system")).rejects.toMatchObject(refused);
    await expect(call(handlers, name, { pack_id: ["alpha"] })).rejects.toMatchObject(refused);
  }
  const convert = { from_term: "tool", to_term: "call", data: 1 };
  await expect(call(handlers, "vocab.convert", { ...convert, pack_id: "alpha" }, "beta")).rejects.toMatchObject(refused);
  for (const wrong of [{ ...convert, from_term: 1 }, { from_term: "tool", to_term: "call" }, { data: 1 }])
    await expect(call(handlers, "vocab.convert", wrong as JsonObject)).rejects.toMatchObject(refused);
});

test("a converter runs as its own pack, in the sandbox, 10 seconds, within the chain of flows that asked", async () => {
  const { handlers, ran, audit } = place();
  const data = { text: "x" };
  expect(await call(handlers, "vocab.convert", { from_term: " Tool", to_term: "CALL", data, pack_id: "alpha" }, "system")).toEqual({
    converted: true,
    data: [data],
    code: null,
  });
  expect(ran).toMatchObject([
    {
      seed: { pack_id: "alpha", authority: "alpha", digest: DIGEST, runtime: "python", root: "/snapshots/alpha" },
      spec: {
        convention: "converter",
        file: "converters/tool_to_call.py",
        function: null,
        input: data,
        timeout_ms: 10_000,
        max_result_bytes: 1000,
        context: { owner_pack: "alpha", principal_id: "system", from_term: "tool", to_term: "call" },
      },
      origin: { run_id: "run_1", flow_id: "alpha.f", chain: ["root", "alpha.f"] },
    },
  ]);
  expect(audit.events).toMatchObject([{ category: "flow_execution", action: "vocab_convert", success: true, owner_pack: "alpha" }]);
});

test("F80 a converter that raises, gives nothing or is not there leaves the data as it was, with the code", async () => {
  const data = { text: "x" };
  const convert = { from_term: "tool", to_term: "call", data };
  const unchanged = (code: string) => ({ converted: false, data, code });
  const raising = place(() => ({ ...FACTS, kind: "block_error", message: "ValueError: s3cret" }));
  expect(await call(raising.handlers, "vocab.convert", convert)).toEqual(unchanged("vocab.convert_failed"));
  expect(raising.audit.events).toMatchObject([
    { success: false, error: "block_error: ValueError: ***", error_type: "vocab.convert_failed" },
  ]);
  const empty = place(() => ({ ...FACTS, kind: "ok", value: null, streaming: false, warnings: [] }));
  expect(await call(empty.handlers, "vocab.convert", convert)).toEqual(unchanged("vocab.convert_failed"));
  expect(await call(empty.handlers, "vocab.convert", { ...convert, data: null })).toEqual({ converted: true, data: null, code: null });
  expect(await call(empty.handlers, "vocab.convert", { ...convert, to_term: "other" })).toEqual(unchanged("vocab.convert_failed"));
  const busy = place(() => new SandboxError("sandbox.docker_required", "no sandbox"));
  expect(await call(busy.handlers, "vocab.convert", convert)).toEqual(unchanged("sandbox.docker_required"));
});

test("no converter of a pack that may not run, or of other bytes than those read, is run", async () => {
  const convert = { from_term: "tool", to_term: "call", data: 1 };
  const { handlers, ran, closed, approveOthers } = place();
  closed.add("alpha");
  expect(await call(handlers, "vocab.convert", convert)).toEqual({ converted: false, data: 1, code: "approval.not_approved" });
  closed.clear();
  approveOthers();
  expect(await call(handlers, "vocab.convert", convert)).toEqual({ converted: false, data: 1, code: "vocab.convert_failed" });
  let deep: JsonValue = 1;
  for (let n = 0; n < 70; n += 1) deep = [deep];
  expect(await call(place().handlers, "vocab.convert", { ...convert, data: deep })).toMatchObject({ code: "vocab.convert_failed" });
  expect(ran).toEqual([]);
});

test("F79 F80 values of a pack's own blocks get its preferred keys; opted-out steps and other packs keep theirs", async () => {
  const blocks = new FakeBlocks({
    "alpha/a.py": () => blockGives({ text: "x", other: { text: "y" } }),
    "alpha/both.py": () => blockGives({ content: 1, text: 2 }),
    "beta/a.py": () => blockGives({ text: "x" }),
  });
  const vocabulary = new PackVocabulary({ words: { groups: (pack) => (pack === "alpha" ? ALPHA.vocab : null) } });
  const step = (id: string, pack: string, more = "", file = "a.py"): string =>
    `  - { id: ${id}, phase: m, type: file_call, owner_pack: ${pack}, file: ${file}, output: ${id}${more} }\n`;
  const steps =
    step("own", "alpha") +
    step("out", "alpha", ", vocab_normalize: false") +
    step("foreign", "beta") +
    step("both", "alpha", "", "both.py");
  const bench = new TestBench([flowFile(`flow_id: f\nphases: [m]\nsteps:\n${steps}`)], { blocks, deps: { vocabulary } });
  const { result, warnings } = await bench.run("f");
  expect(result).toEqual({
    own: { content: "x", other: { text: "y" } },
    out: { text: "x", other: { text: "y" } },
    foreign: { text: "x" },
    both: { content: 1, text: 2 },
  });
  expect(warnings).toEqual(['both: vocab.collision: "text" keeps its name, "content" is there already']);
});

test("F81 F90 a flow reads the dictionary; only an official one changes it, and each refusal is a value and a journal line", async () => {
  await using folder = await temporaryFolder("rumi-dict-");
  const deps = { audit: new MemoryAudit(), clock: new ManualClock(), diagnostics: new MemoryDiagnostics(), logger: silentLogger };
  await using dictionary = new SharedDictionary(deps, { folder: join(folder.path, "shared_dict") });
  await dictionary.load();
  const handlers = dictionaryKernelHandlers({ dictionary });
  const rule = (token: string, value: string) => ({ namespace: "n", token, value });
  expect(await call(handlers, "shared_dict.propose", rule("A", "B"))).toMatchObject({ result: "accepted" });
  expect(await call(handlers, "shared_dict.propose", rule("B", "A"))).toMatchObject({ result: "cycle_detected" });
  expect(await call(handlers, "shared_dict.propose", rule("B", "C"))).toMatchObject({ result: "accepted" });
  expect(await call(handlers, "shared_dict.resolve", { namespace: "n", token: "A" }, "beta")).toEqual({ value: "C", hops: 2 });
  expect(await call(handlers, "shared_dict.explain", { namespace: "n", token: "A" }, "beta")).toEqual({
    namespace: "n",
    token: "A",
    value: "C",
    hops: 2,
    path: ["A", "B", "C"],
  });
  expect(await call(handlers, "shared_dict.list", {}, "beta")).toEqual([rule("A", "B"), rule("B", "C")]);
  expect(await call(handlers, "shared_dict.list", { namespace: "n", token: "B" })).toEqual([rule("B", "C")]);
  expect(await call(handlers, "shared_dict.remove", { namespace: "n", token: "A" })).toMatchObject({ result: "removed" });
  expect(deps.audit.events.at(-1)).toMatchObject({ action: "shared_dict", details: { actor: "flow:alpha.f", result: "removed" } });
  for (const args of [{}, { namespace: "n" }, { namespace: "n", token: 1 }])
    await expect(call(handlers, "shared_dict.resolve", args as JsonObject)).rejects.toMatchObject({ code: "kernel.invalid_args" });
  expect(handlers.map((handler) => [handler.name.slice("kernel:shared_dict.".length), handler.kind])).toEqual([
    ["resolve", "open"],
    ["explain", "open"],
    ["list", "open"],
    ["propose", "operator"],
    ["remove", "operator"],
  ]);
  const flow = (name: string, pack: string) =>
    flowFile(
      `flow_id: ${pack}.f\nphases: [m]\nsteps:\n  - { id: s, phase: m, type: handler, input: { handler: "kernel:shared_dict.${name}", args: { namespace: n, token: A, value: B } } }\n`,
      { pack },
    );
  const bench = new TestBench([flow("propose", "p"), flow("resolve", "q")], { handlers });
  expect(bench.table.problems.map((problem) => problem.code)).toEqual(["flow.handler_not_allowed"]);
  expect((await bench.run("q.f")).state).toBe("completed");
});

import type { EffectiveGrant } from "@rumi/capability";
import { systemClock } from "@rumi/core";
import { MemoryAudit } from "@rumi/core/testing";
import type { Decision, JsonObject, JsonValue, PackId, SocketOwner } from "@rumi/core";
import type { FunctionAsk } from "@rumi/flow-engine";
import { expect, test } from "vitest";
import type { FoundFunction, FunctionAsk as HouseAsk, FunctionEnd } from "./ports.ts";
import { StepFunctions } from "./step-functions.ts";

const FUNCTION: FoundFunction = { pack_id: "q" as PackId, name: "q:send", requires: [], caller_requires: [] };
const ASK = {
  call_id: "c",
  run_id: "run_1",
  flow_id: "f",
  step_id: "s",
  step_path: "s",
  phase: "m",
  attempt: 1,
  idempotency_key: "k",
  chain: ["f"],
  timeout_ms: 5000,
  name: "q:send",
  principal: "system",
  args: { text: "hi" },
} as unknown as FunctionAsk;

interface Wish {
  readonly functions?: readonly FoundFunction[];
  readonly aliases?: Readonly<Record<string, FoundFunction>>;
  readonly powers?: readonly string[];
  readonly held?: Readonly<Record<string, JsonObject>>;
  readonly closed?: readonly string[];
  readonly end?: FunctionEnd;
  readonly answer?: JsonObject;
}

function house(wish: Wish = {}) {
  const asked: HouseAsk[] = [];
  const audit = new MemoryAudit();
  const messages: { message: JsonValue; principal: string; chain: readonly string[] }[] = [];
  const { functions = [FUNCTION], aliases = {}, powers = [], held = {}, closed = [] } = wish;
  const steps = new StepFunctions({
    functions: {
      find: (name) => functions.find((one) => one.name === name) ?? aliases[name],
      call: (ask) => {
        asked.push(ask);
        return Promise.resolve(wish.end ?? { ok: true, value: { got: ask.args } });
      },
    },
    approvals: {
      gate: (id) =>
        closed.includes(id)
          ? { allowed: false, code: "approval.modified", reason: "modified" }
          : ({ allowed: true, digest: "sha256:1" } as never),
    },
    grants: {
      effective: (principal, permission): Decision<EffectiveGrant, never> => {
        const config = held[`${principal} ${permission}`];
        return (
          config === undefined ? { allowed: false, code: "capability.permission_denied", reason: "none" } : { allowed: true, config }
        ) as never;
      },
      take: () => true,
    },
    source: { find: (name) => (powers.includes(name) ? ({} as never) : undefined) },
    broker: {
      handle: (message: JsonValue, owner: SocketOwner) => {
        const { principal, call } = owner.caller();
        messages.push({ message, principal, chain: call?.chain ?? [] });
        return Promise.resolve(
          (wish.answer ?? { success: true, output: { success: true, value: 1 }, error: null, error_type: null }) as never,
        );
      },
    },
    audit,
    clock: systemClock,
    mode: () => "container",
  });
  const call = (more: Partial<Record<keyof FunctionAsk, unknown>> = {}) =>
    steps.call({ ...ASK, ...more } as FunctionAsk, new AbortController().signal);
  return { call, asked, messages, audit };
}

const refusedWith = (code: string, remedy: unknown = expect.anything()) => ({
  found: true,
  outcome: { ok: false, code, retryable: false, execution_mode: "rejected", remedy },
});

test("shared flows and the own pack call freely; another pack needs the grant that names the function", async () => {
  const open = house();
  expect(await open.call()).toMatchObject({ found: true, owner_pack: "q", outcome: { ok: true, value: { got: { text: "hi" } } } });
  expect(await open.call({ principal: "q" })).toMatchObject({ outcome: { ok: true } });
  expect(open.asked[0]?.caller.call).toMatchObject({ run_id: "run_1", chain: ["f"], idempotency_key: "k" });
  expect(await open.call({ principal: "p" })).toMatchObject(
    refusedWith("function.call_denied", expect.stringContaining("rumi grant add p function.call")),
  );
  expect(open.audit.events).toMatchObject([
    { category: "security", action: "function.call_denied", success: false, owner_pack: "p", details: { function: "q:send" } },
  ]);
  const granted = house({ held: { "p function.call": { allowed_functions: ["q:send"] } } });
  expect(await granted.call({ principal: "p" })).toMatchObject({ outcome: { ok: true } });
  const other = house({ held: { "p function.call": { allowed_functions: ["q:other"] } } });
  expect(await other.call({ principal: "p" })).toMatchObject(refusedWith("function.call_denied"));
});

test("what a function asks of its callers and of its own pack must be held; a closed pack's function does not run", async () => {
  const needs = { functions: [{ ...FUNCTION, caller_requires: ["x.y"], requires: ["store.get"] }] };
  const grants = { "p function.call": { allowed_functions: ["q:send"] } };
  expect(await house({ ...needs, held: grants }).call({ principal: "p" })).toMatchObject(
    refusedWith("function.call_denied", "rumi grant add p x.y"),
  );
  expect(await house({ ...needs, held: { ...grants, "p x.y": {} } }).call({ principal: "p" })).toMatchObject(
    refusedWith("function.requires_denied", "rumi grant add q store.get"),
  );
  expect(await house({ ...needs, held: { "q store.get": {} } }).call()).toMatchObject({ outcome: { ok: true } });
  const closed = house({ closed: ["q"] });
  expect(await closed.call()).toMatchObject({ outcome: { ok: false, code: "approval.modified" } });
  expect(closed.asked).toEqual([]);
  // Of a pack that may not run no function is known: it is refused, not missing.
  const gone = house({ functions: [], closed: ["q"] });
  expect(await gone.call()).toMatchObject({ found: true, owner_pack: "q", outcome: { ok: false, code: "approval.modified" } });
  expect(await house({ functions: [] }).call()).toMatchObject({ found: false });
});

test("a name with a colon is a function, else a power, else an alias, else nothing", async () => {
  const all = house({ powers: ["store.get", "mail.send"], aliases: { "mail.send": FUNCTION, "mail.read": FUNCTION } });
  expect(await all.call({ name: "store.get", principal: "p" })).toMatchObject({
    owner_pack: null,
    outcome: { ok: true, value: { success: true, value: 1 } },
  });
  expect(await all.call({ name: "mail.send", principal: "p" })).toMatchObject({ owner_pack: null });
  expect(await all.call({ name: "mail.read" })).toMatchObject({ owner_pack: "q" });
  expect(await all.call({ name: "q:none" })).toEqual({ found: false, message: "there is no function q:none" });
  expect(all.messages[0]).toMatchObject({
    principal: "p",
    chain: ["f"],
    message: { permission_id: "store.get", args: { text: "hi" }, timeout_seconds: 5 },
  });
});

test("a power is refused to a shared flow's own step, and its refusal is the step's", async () => {
  const all = house({
    powers: ["store.get"],
    answer: { success: false, output: {}, error: "Permission denied", error_type: "permission_denied" },
  });
  expect(await all.call({ name: "store.get" })).toMatchObject({ outcome: { ok: false, code: "capability.permission_denied" } });
  expect(all.messages).toEqual([]);
  expect(await all.call({ name: "store.get", principal: "p" })).toMatchObject(
    refusedWith("capability.permission_denied", "rumi grant add p store.get"),
  );
});

test("an outcome of running may be tried again, a refusal not", async () => {
  const crashed = house({ end: { ok: false, error_type: "crashed", code: "sandbox.crashed", message: "it crashed" } });
  expect(await crashed.call()).toMatchObject({ outcome: { ok: false, code: "sandbox.crashed", retryable: true } });
  const deep = house({ end: { ok: false, error_type: "flow_depth_exceeded", code: "flow.depth_exceeded", message: "deep" } });
  expect(await deep.call()).toMatchObject({ outcome: { ok: false, retryable: false } });
});

import type { Decision, ErrorCode, FlowId, InFlightCall, JsonObject, JsonValue, PackId, RunId, StepId } from "@rumi/core";
import { RumiError } from "@rumi/core";
import { ManualClock, silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import * as v from "valibot";
import { expect, test } from "vitest";
import { CapabilityBroker, type CapabilityBrokerOptions } from "./capability-broker.ts";
import type { Capability } from "./ports.ts";
import { fakeCapability, fakeSource } from "./testing/fake-capability.ts";
import { fakeOwner, type FakeOwner } from "./testing/fake-owner.ts";
import { openTestGrants, type TestGrants, type TestGrantsOptions } from "./testing/open-test-grants.ts";
import { TrustStore } from "./trust-store.ts";

interface Setup extends TestGrants {
  readonly broker: CapabilityBroker;
  readonly manual: ManualClock;
  readonly call: (message: JsonValue, owner?: FakeOwner) => Promise<Record<string, unknown>>;
  /** The last entry of one category, once every use is recorded. */
  readonly last: (category: "permission" | "security") => Promise<Record<string, unknown> | undefined>;
}

async function setup(
  folder: string,
  capabilities: readonly Capability[],
  options: CapabilityBrokerOptions & { grants?: TestGrantsOptions; redact?: (text: string) => string } = {},
): Promise<Setup> {
  const manual = new ManualClock();
  const opened = await openTestGrants(folder, { clock: manual, ...options.grants });
  const { grants, gate, audit } = opened;
  const source = fakeSource(...capabilities);
  const deps = { grants, gate, source, audit: options.grants?.audit ?? audit, clock: manual, logger: silentLogger };
  const broker = new CapabilityBroker(options.redact === undefined ? deps : { ...deps, redact: options.redact }, options);
  return {
    ...opened,
    manual,
    broker,
    call: (message, owner = fakeOwner("a")) => broker.handle(message, owner, new AbortController().signal),
    last: async (category) => {
      await broker.settled();
      return opened.events(category).at(-1) as unknown as Record<string, unknown> | undefined;
    },
  };
}

const DENIED = {
  success: false,
  output: { success: false, error: "Permission denied", error_type: "permission_denied" },
  error: "Permission denied",
  error_type: "permission_denied",
  latency_ms: 0,
};

test("a granted call runs with the folded config, is answered with five keys, and is recorded with sizes and no values", async () => {
  await using home = await temporaryFolder();
  const read = fakeCapability("store.get", { run: () => ({ ok: true, output: { value: "v" } }) });
  const { call, give, last, events } = await setup(home.path, [read]);
  await give("a", "store.get", { allowed_store_ids: ["s", "t"] });
  await give("a__b", "store.get", { allowed_store_ids: ["t"] });
  const answer = await call({ permission_id: "store.get", args: { key: "hidden" }, request_id: "r1" }, fakeOwner("a__b"));
  expect(answer).toEqual({ success: true, output: { success: true, value: "v" }, error: null, error_type: null, latency_ms: 0 });
  expect(Object.keys(answer)).toEqual(["success", "output", "error", "error_type", "latency_ms"]);
  expect(read.used).toMatchObject([
    { args: { key: "hidden" }, config: { allowed_store_ids: ["t"] }, request_id: "r1", timeout_ms: 30_000, caller: { principal: "a__b" } },
  ]);
  expect(await last("permission")).toMatchObject({
    action: "call",
    success: true,
    owner_pack: "a__b",
    execution_mode: "container",
    details: {
      permission_type: "capability_call",
      principal_id: "a__b",
      permission_id: "store.get",
      request_id: "r1",
      instance_id: "instance-of-a__b",
      args_bytes: 16,
      output_bytes: 28,
      latency_ms: 0,
    },
  });
  expect(JSON.stringify(events("permission").filter((event) => event.action === "call"))).not.toContain("hidden");
  expect(events("security")).toEqual([]);
});

test("function.call has a message of its own; args may be left out; an alias is the power itself", async () => {
  await using home = await temporaryFolder();
  const call1 = fakeCapability("function.call");
  const send = fakeCapability("pack.inbox.send", { aliases: ["inbox.send"] });
  const { call, give } = await setup(home.path, [call1, send]);
  await give("a", "function.call", { allowed_functions: ["p:f"] });
  await give("a", "pack.inbox.send", { allowed_target_packs: ["b"], allowed_kinds: ["*"] });
  expect(await call({ type: "function.call", qualified_name: "p:f", args: { n: 1 } })).toMatchObject({ success: true });
  expect(call1.used[0]?.args).toEqual({ function: "p:f", args: { n: 1 } });
  expect(await call({ permission_id: "inbox.send", args: null })).toMatchObject({ success: true });
  expect(send.used[0]?.args).toEqual({});
});

test("a pack handler's output is its own as it is", async () => {
  await using home = await temporaryFolder();
  const provider = { pack_id: "p" as PackId, decide: (): Decision<object> => ({ allowed: true }) };
  const { call, give } = await setup(home.path, [
    fakeCapability("fs.read", { provider, run: () => ({ ok: true, output: { text: "x" } }) }),
  ]);
  await give("a", "fs.read");
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ success: true, output: { text: "x" } });
  expect((await call({ permission_id: "fs.read" })).output).not.toHaveProperty("success");
});

test("T39 trust alone or a grant alone is denied, both run; so is a provider that is closed", async () => {
  await using home = await temporaryFolder();
  const opened = await openTestGrants(home.path);
  const { signed, userData, audit, diagnostics, clock } = opened;
  const trust = new TrustStore({ signed, userData, audit, diagnostics, clock });
  await trust.load();
  const code = { handler_id: "fs_read", pack_id: "p", slug: "fs_read_v1", permission_id: "fs.read", sha256: "0".repeat(64) };
  const read = fakeCapability("fs.read", { provider: { pack_id: "p" as PackId, decide: () => trust.decide(code) } });
  const broker = new CapabilityBroker({ ...opened, source: fakeSource(read), logger: silentLogger });
  const call = () => broker.handle({ permission_id: "fs.read" }, fakeOwner("a"), new AbortController().signal);
  expect(await call()).toEqual(DENIED);
  await opened.give("a", "fs.read");
  expect(await call()).toEqual(DENIED);
  expect(opened.events("security").at(-1)).toMatchObject({ action: "capability.trust_denied" });
  const { handler_id, ...gift } = code;
  await trust.add(handler_id, gift, "operator");
  expect(await call()).toMatchObject({ success: true });
  opened.gate.closed.add("p");
  expect(await call()).toEqual(DENIED);
  opened.gate.closed.clear();
  await opened.grants.revoke({ principal_id: "a", permission_id: "fs.read", actor: "operator" });
  expect(await call()).toEqual(DENIED);
  expect(read.used).toHaveLength(1);
});

test("T48 a message that names another principal is the socket's, and is recorded", async () => {
  await using home = await temporaryFolder();
  const { call, give, events } = await setup(home.path, [fakeCapability("fs.read")]);
  await give("victim", "fs.read");
  for (const name of ["principal_id", "principal", "owner_pack", "pack_id"]) {
    expect(await call({ permission_id: "fs.read", [name]: "victim" })).toEqual(DENIED);
  }
  const overridden = events("security").filter((event) => event.action === "principal_id_overridden");
  expect(overridden).toHaveLength(4);
  expect(overridden[0]).toMatchObject({ success: false, owner_pack: "a", details: { principal_id: "a", claimed: ["victim"] } });
  await give("a", "fs.read");
  expect(await call({ permission_id: "fs.read", principal_id: "a" })).toMatchObject({ success: true });
  expect(events("security").filter((event) => event.action === "principal_id_overridden")).toHaveLength(4);
});

test("T50 timeouts: negative, nothing, text are invalid; 999 is 120; the step's rest bounds it", async () => {
  await using home = await temporaryFolder();
  const read = fakeCapability("fs.read");
  const { call, give, manual } = await setup(home.path, [read]);
  await give("a", "fs.read");
  for (const timeout_seconds of [-1, 0, "x", "5", true, [], {}]) {
    expect(await call({ permission_id: "fs.read", timeout_seconds })).toMatchObject({
      success: false,
      error: "Invalid request",
      error_type: "invalid_request",
    });
  }
  expect(read.used).toEqual([]);
  await call({ permission_id: "fs.read", timeout_seconds: 999 });
  await call({ permission_id: "fs.read", timeout_seconds: 0.5 });
  await call({ permission_id: "fs.read" }, fakeOwner("a", [inFlight({ deadline: manual.monotonic() + 700 })]));
  expect(read.used.map((use) => use.timeout_ms)).toEqual([120_000, 500, 700]);
  const late = await call({ permission_id: "fs.read" }, fakeOwner("a", [inFlight({ deadline: manual.monotonic() })]));
  expect(late).toMatchObject({ error_type: "timeout", error: "Timed out" });
  expect(read.used).toHaveLength(3);
});

function inFlight(facts: Partial<InFlightCall> = {}): InFlightCall {
  return {
    call_id: "c1",
    run_id: "run_1" as RunId,
    flow_id: "a.main" as FlowId,
    step_id: "s1" as StepId,
    phase: "p",
    idempotency_key: "k",
    chain: ["a.main" as FlowId],
    deadline: Number.POSITIVE_INFINITY,
    ...facts,
  };
}

test("the entry of a call names the run, flow and step that it came from", async () => {
  await using home = await temporaryFolder();
  const { call, give, last } = await setup(home.path, [fakeCapability("fs.read")]);
  await give("a", "fs.read");
  await call(
    { permission_id: "fs.read", call_id: "c2" },
    fakeOwner("a", [inFlight(), inFlight({ call_id: "c2", step_id: "s2" as StepId })]),
  );
  expect(await last("permission")).toMatchObject({ flow_id: "a.main", step_id: "s2", phase: "p", run_id: "run_1" });
});

test("T51 the 61st secrets.get in a minute is rate limited, refusals count, others are unaffected", async () => {
  await using home = await temporaryFolder();
  const secrets = fakeCapability("secrets.get");
  const { call, give, manual } = await setup(home.path, [secrets, fakeCapability("store.get")]);
  await give("b", "secrets.get", { allowed_keys: ["K"] });
  await give("a", "store.get", { allowed_store_ids: ["s"] });
  const get = { permission_id: "secrets.get", args: { key: "K" } };
  for (let count = 1; count <= 60; count++) expect(await call(get)).toMatchObject({ error_type: "permission_denied" });
  const limited = { success: false, error: "Rate limited", error_type: "rate_limited", latency_ms: 0 };
  expect(await call(get)).toMatchObject(limited);
  await give("a", "secrets.get", { allowed_keys: ["K"] });
  expect(await call(get)).toMatchObject(limited);
  expect(await call(get, fakeOwner("b"))).toMatchObject({ success: true });
  expect(await call({ permission_id: "store.get" })).toMatchObject({ success: true });
  manual.advance(60_001);
  expect(await call(get)).toMatchObject({ success: true });
});

test("rates: 600 by default, as the power says, as the settings say; unknown names share one", async () => {
  await using home = await temporaryFolder();
  const powers = [
    fakeCapability("fs.read"),
    fakeCapability("unit.run"),
    fakeCapability("fs.slow", { per_minute: 2 }),
    fakeCapability("secrets.get"),
  ];
  const { call, give } = await setup(home.path, powers, { secretGetPerMinute: 3 });
  for (const id of ["fs.read", "fs.slow"]) await give("a", id);
  await give("a", "unit.run", { allowed_store_ids: ["s"] });
  await give("a", "secrets.get", { allowed_keys: ["K"] });
  const passes = async (message: (count: number) => JsonObject, most: number): Promise<number> => {
    for (let count = 0; count < most; count++) if ((await call(message(count))).error_type === "rate_limited") return count;
    return most;
  };
  expect(await passes(() => ({ permission_id: "fs.read" }), 700)).toBe(600);
  expect(await passes(() => ({ permission_id: "unit.run" }), 40)).toBe(30);
  expect(await passes(() => ({ permission_id: "fs.slow" }), 40)).toBe(2);
  expect(await passes(() => ({ permission_id: "secrets.get" }), 40)).toBe(3);
  expect(await passes((count) => ({ permission_id: `no.such${count}` }), 700)).toBe(600);
});

test("the gate is asked for the very bytes that ask", async () => {
  await using home = await temporaryFolder();
  const opened = await openTestGrants(home.path);
  await opened.give("a", "fs.read");
  const asked: unknown[] = [];
  const gate = {
    gate: (packId: PackId, digest?: string): Decision<object, ErrorCode> => {
      asked.push([packId, digest]);
      return { allowed: false, code: "approval.digest_moved", reason: "other bytes were approved since" };
    },
  };
  const broker = new CapabilityBroker({ ...opened, gate, source: fakeSource(fakeCapability("fs.read")), logger: silentLogger });
  const owner = fakeOwner("a");
  expect(await broker.handle({ permission_id: "fs.read" }, owner, new AbortController().signal)).toEqual(DENIED);
  expect(asked).toEqual([["a", owner.caller().digest]]);
  expect(opened.events("security").at(-1)).toMatchObject({ action: "approval.digest_moved" });
});

test("T53 an unknown and an ungranted permission are answered alike; the log tells them apart", async () => {
  await using home = await temporaryFolder();
  const { call, gate, give, events } = await setup(home.path, [fakeCapability("fs.read"), fakeCapability("fs.write")]);
  const answers = [await call({ permission_id: "no.such" }), await call({ permission_id: "fs.read" })];
  await give("a", "fs.write");
  gate.closed.add("a");
  answers.push(
    await call({ permission_id: "fs.write" }),
    await call({ permission_id: "network.egress" }),
    await call({ permission_id: "x y\n" }),
  );
  expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(new Set([JSON.stringify(DENIED)]));
  const entries = events("security").map((event) => [event.action, event.rejection_reason, event.details?.remedy]);
  expect(entries.slice(0, 3)).toEqual([
    ["capability.permission_denied", "there is no power no.such", "rumi grant list"],
    ["capability.permission_denied", "a holds no grant of fs.read", "rumi grant add a fs.read"],
    ["approval.modified", "a was modified", undefined],
  ]);
  const refused = events("permission").filter((event) => event.action === "call");
  expect(refused.map((event) => [event.success, event.error_type])).toEqual(answers.map(() => [false, "permission_denied"]));
});

test("T52 secrets.get has one answer for ungranted, unlisted, absent, undecryptable, malformed and used up", async () => {
  await using home = await temporaryFolder();
  const uniform = { error_type: "access_denied", error: "Access denied or secret not found" };
  const get = fakeCapability("secrets.get", {
    uniform,
    args: v.strictObject({ key: v.pipe(v.string(), v.regex(/^[A-Z_]+$/u)) }),
    outside: ({ args, config }) => ((config.allowed_keys as string[]).includes(args.key as string) ? null : "the key is not listed"),
    run: ({ args }) =>
      args.key === "BROKEN"
        ? { ok: false, error_type: "uniform", error: "bad tag" }
        : { ok: false, ...uniform, reason: "absent", output: { hint: 1 } },
  });
  const { call, give, manual, events, broker } = await setup(home.path, [get]);
  const answers: string[] = [];
  const ask = async (args: JsonObject): Promise<void> => {
    manual.advance(7);
    answers.push(JSON.stringify(await call({ permission_id: "secrets.get", args })));
  };
  await ask({ key: "ABSENT" });
  await give("a", "secrets.get", { allowed_keys: ["ABSENT", "BROKEN"], max_uses: 2 });
  for (const args of [{ key: "UNLISTED" }, { key: "ABSENT" }, { key: "BROKEN" }, { key: "lower" }, { key: 5 }, {}, { key: "ABSENT" }])
    await ask(args);
  expect(answers).toEqual(
    Array(8).fill(
      JSON.stringify({ success: false, output: { success: false, ...uniformly(uniform) }, ...uniformly(uniform), latency_ms: 0 }),
    ),
  );
  await broker.settled();
  expect(events("security").map((event) => event.action)).toEqual(
    expect.arrayContaining([
      "capability.permission_denied",
      "capability.access_denied",
      "capability.validation_error",
      "capability.limit_reached",
    ]),
  );
});

function uniformly({ error, error_type }: { error: string; error_type: string }): { error: string; error_type: string } {
  return { error, error_type };
}

test("args that break the rule are told the rule, only to who holds the right", async () => {
  await using home = await temporaryFolder();
  const get = fakeCapability("store.get", { args: v.strictObject({ key: v.pipe(v.string("key is a text")) }) });
  const { call, give } = await setup(home.path, [get]);
  expect(await call({ permission_id: "store.get", args: { key: 5 } })).toEqual(DENIED);
  await give("a", "store.get", { allowed_store_ids: ["s"] });
  expect(await call({ permission_id: "store.get", args: { key: 5 } })).toMatchObject({
    error_type: "validation_error",
    error: "key: key is a text",
    output: { success: false, error: "key: key is a text", error_type: "validation_error" },
  });
  expect(await call({ permission_id: "store.get", args: { key: "k", more: 1 } })).toMatchObject({ error_type: "validation_error" });
});

test("what lies outside the grant is denied and takes no use; the last use gone is limit_reached", async () => {
  await using home = await temporaryFolder();
  const read = fakeCapability("fs.read", { outside: ({ args }) => (args.path === "/etc" ? "the path is not listed" : null) });
  const { call, give, last } = await setup(home.path, [read]);
  await give("a", "fs.read", { max_uses: 1 });
  expect(await call({ permission_id: "fs.read", args: { path: "/etc" } })).toEqual(DENIED);
  expect(await last("security")).toMatchObject({ action: "capability.permission_denied", rejection_reason: "the path is not listed" });
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ success: true });
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ error_type: "limit_reached", error: "Limit reached" });
  expect(await last("security")).toMatchObject({ action: "capability.limit_reached" });
});

test("a power with a rule of its own decides without a grant, where it decides", async () => {
  await using home = await temporaryFolder();
  const own = (allowed: boolean): Decision<{ config: JsonObject }, ErrorCode> =>
    allowed ? { allowed, config: { own: true } } : { allowed, code: "function.call_denied", reason: "not yours" };
  const power = fakeCapability("function.call", {
    decide: ({ args }) => (args.function === "other:f" ? null : own(args.function === "a:f")),
  });
  const { call, last } = await setup(home.path, [power]);
  const ask = (name: string) => call({ type: "function.call", qualified_name: name });
  expect(await ask("a:f")).toMatchObject({ success: true });
  expect(power.used[0]?.config).toEqual({ own: true });
  expect(await ask("other:f")).toEqual(DENIED);
  expect(await last("security")).toMatchObject({ action: "capability.permission_denied" });
  expect(await ask("x:f")).toEqual(DENIED);
  expect(await last("security")).toMatchObject({ action: "function.call_denied" });
});

test("failures of a run: its own, thrown, too large; a refusal inside is a refusal in the log too", async () => {
  await using home = await temporaryFolder();
  const provider = { pack_id: "p" as PackId, decide: (): Decision<object> => ({ allowed: true }) };
  const boom = (): never => {
    throw new Error("inside: /host/path");
  };
  const powers = [
    fakeCapability("store.cas", { run: () => ({ ok: false, error_type: "conflict", error: "Conflict", output: { current_value: 3 } }) }),
    fakeCapability("store.get", {
      run: () => ({ ok: false, error_type: "permission_denied", error: "Permission denied", reason: "store.share_required: no share" }),
    }),
    fakeCapability("fs.built", { run: boom }),
    fakeCapability("fs.pack", { provider, run: boom }),
    fakeCapability("fs.large", { run: () => ({ ok: true, output: { text: "x".repeat(2000) } }) }),
  ];
  const { call, give, last, events, broker } = await setup(home.path, powers, { maxResponseBytes: 1000 });
  for (const id of ["fs.built", "fs.pack", "fs.large"]) await give("a", id);
  for (const id of ["store.cas", "store.get"]) await give("a", id, { allowed_store_ids: ["s"] });
  expect(await call({ permission_id: "store.cas" })).toMatchObject({
    success: false,
    error: "Conflict",
    error_type: "conflict",
    output: { success: false, error: "Conflict", error_type: "conflict", current_value: 3 },
  });
  await broker.settled();
  expect(events("security")).toEqual([]);
  expect(await call({ permission_id: "store.get" })).toEqual(DENIED);
  expect(await last("security")).toMatchObject({ action: "store.share_required", rejection_reason: "store.share_required: no share" });
  expect(await call({ permission_id: "fs.built" })).toMatchObject({ error: "Internal error", error_type: "internal_error" });
  expect(await call({ permission_id: "fs.pack" })).toMatchObject({ error: "Handler failed", error_type: "handler_error" });
  expect(await call({ permission_id: "fs.large" })).toMatchObject({ error: "Response too large", error_type: "response_too_large" });
});

test("a run that takes too long is answered, aborted and forgotten", async () => {
  await using home = await temporaryFolder();
  const aborted: boolean[] = [];
  const never = fakeCapability("fs.never", {
    run: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => (aborted.push(true), reject(new Error("late"))))),
  });
  const { call, give, last } = await setup(home.path, [never]);
  await give("a", "fs.never");
  expect(await call({ permission_id: "fs.never", timeout_seconds: 0.01 })).toMatchObject({ error: "Timed out", error_type: "timeout" });
  expect(aborted).toEqual([true]);
  expect(await last("permission")).toMatchObject({ success: false, error_type: "timeout" });
});

test("when the instance, its call, or the connection goes, the run is aborted", async () => {
  await using home = await temporaryFolder();
  const begun: AbortSignal[] = [];
  const slow = fakeCapability("fs.slow", {
    run: ({ signal }) => {
      begun.push(signal);
      return new Promise(() => undefined);
    },
  });
  const { broker, give } = await setup(home.path, [slow]);
  await give("a", "fs.slow");
  const ends: ((owner: FakeOwner, connection: AbortController) => void)[] = [
    (owner) => owner.leave(),
    (owner) => owner.endCall("c1"),
    (_owner, connection) => connection.abort(),
  ];
  for (const end of ends) {
    const owner = fakeOwner("a", [inFlight()]);
    const connection = new AbortController();
    const answer = broker.handle({ permission_id: "fs.slow" }, owner, connection.signal);
    await expect.poll(() => begun.length).toBeGreaterThan(0);
    end(owner, connection);
    expect(await answer).toMatchObject({ success: false, error_type: "internal_error" });
    expect(begun.pop()?.aborted).toBe(true);
    if (owner.gone.aborted) {
      expect(await broker.handle({ permission_id: "fs.slow" }, owner, connection.signal)).toMatchObject({ success: false });
      expect(begun).toEqual([]);
    }
  }
});

test("once the audit log refuses entries, nothing more is done until it takes them again", async () => {
  await using home = await temporaryFolder();
  let refuses = false;
  const audit = { record: () => (refuses ? Promise.reject(new RumiError("audit.unavailable", "full")) : Promise.resolve()) };
  const read = fakeCapability("fs.read");
  const { call, give, broker } = await setup(home.path, [read], { grants: { audit } });
  await give("a", "fs.read");
  refuses = true;
  await call({ permission_id: "fs.read" });
  await broker.settled();
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ error_type: "internal_error", error: "Internal error" });
  expect(await call({ permission_id: "no.such" })).toEqual(DENIED);
  expect(read.used).toHaveLength(1);
  refuses = false;
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ success: true });
});

test("texts that may hold a secret are redacted before they are recorded", async () => {
  await using home = await temporaryFolder();
  const read = fakeCapability("fs.read", { outside: () => "the value hunter22 is not listed" });
  const { call, give, last } = await setup(home.path, [read], { redact: (text) => text.replaceAll("hunter22", "[REDACTED]") });
  await give("a", "fs.read");
  await call({ permission_id: "fs.read" });
  expect(await last("security")).toMatchObject({ rejection_reason: "the value [REDACTED] is not listed" });
});

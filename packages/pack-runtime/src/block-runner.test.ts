import { Digest, PackId, RunId, sha256 } from "@rumi/core";
import type { Decision, ErrorCode, FlowId, JsonValue, StepId } from "@rumi/core";
import { MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import type { BlockCall } from "@rumi/flow-engine";
import { SandboxError } from "@rumi/sandbox";
import * as v from "valibot";
import { expect, test } from "vitest";
import { PackBlockRunner } from "./block-runner.ts";
import { InstancePool } from "./instance-pool.ts";
import type { InstancePoolOptions } from "./pool-options.ts";
import type { ApprovalGate, ApprovedSnapshot } from "./ports.ts";
import { SandboxWatch } from "./sandbox-watch.ts";
import type { SecurityMode } from "./sandbox-watch.ts";
import { NO_BYTES } from "./snapshot-block-resolver.ts";
import { ManualTimers, settle } from "./testing/manual-timers.ts";
import { CountingSpecs } from "./testing/seeds.ts";
import { SteeredSandbox } from "./testing/steered-sandbox.ts";

const ALPHA = v.parse(PackId, "alpha");
const V1 = v.parse(Digest, sha256("v1"));

/** A gate whose answers the test sets, and that notes what it was asked. */
class SetGate implements ApprovalGate {
  readonly asked: string[] = [];
  refusal: { code: ErrorCode; reason: string; remedy?: string } | null = null;
  corrupt = false;
  digest = V1;
  readonly listing = {
    digest: V1,
    entries: [{ type: "f", path: "backend/blocks/hello.py", executable: false, size: 1, sha256: "0" }],
    total_bytes: 1,
  } as const;

  gate(packId: PackId, digest?: Digest): Decision<ApprovedSnapshot, ErrorCode> {
    this.asked.push("gate");
    if (this.refusal !== null) return { allowed: false, ...this.refusal };
    if (digest !== undefined && digest !== this.digest)
      return { allowed: false, code: "approval.modified", reason: "other bytes are approved" };
    return {
      allowed: true,
      digest: this.digest,
      root: `/snapshots/${packId}`,
      subdir: "backend",
      listing: this.listing,
      pack: { reuse: false },
    };
  }

  verifySnapshot(): Promise<Decision<object, ErrorCode>> {
    this.asked.push("verify");
    return Promise.resolve(
      this.corrupt ? { allowed: false, code: "approval.snapshot_corrupt", reason: "the snapshot was changed on disk" } : { allowed: true },
    );
  }
}

function makeRunner(options: { mode?: SecurityMode; pool?: InstancePoolOptions; redact?: (text: string) => string } = {}) {
  const sandbox = new SteeredSandbox();
  const timers = new ManualTimers();
  const audit = new MemoryAudit();
  const gate = new SetGate();
  const watch = new SandboxWatch(
    { sandbox, diagnostics: new MemoryDiagnostics(), clock: timers, timers, logger: silentLogger },
    options.mode ?? "strict",
  );
  const pool = new InstancePool(
    { sandbox, specs: new CountingSpecs(), beforeStart: (seed) => watch.admit(seed.runtime), clock: timers, timers, logger: silentLogger },
    options.pool,
  );
  const runner = new PackBlockRunner(
    {
      gate,
      pool,
      sandbox: watch,
      audit,
      clock: timers,
      logger: silentLogger,
      ...(options.redact === undefined ? {} : { redact: options.redact }),
    },
    { maxResultBytes: 4_194_304, hostTimeoutMs: 120_000 },
  );
  const run = (over: Partial<BlockCall> = {}, signal = new AbortController().signal) => runner.run({ ...CALL, ...over }, signal);
  return { sandbox, timers, audit, gate, watch, pool, runner, run };
}

const CALL: BlockCall = {
  call_id: "c1",
  run_id: v.parse(RunId, "run_00000000-0000-7000-8000-000000000000"),
  flow_id: "hello" as FlowId,
  step_id: "call_hello" as StepId,
  chain: ["hello" as FlowId],
  step_path: "call_hello",
  phase: "main",
  attempt: 1,
  idempotency_key: "run:call_hello",
  owner_pack: ALPHA,
  digest: V1,
  file: "backend/blocks/hello.py",
  runtime: "python",
  input: { name: "you" },
  inputs: { name: "you" },
  timeout_ms: 60_000,
};

test("a call of approved bytes runs and is audited with where it ran", async () => {
  const { run, sandbox, audit } = makeRunner();
  sandbox.echo = true;
  expect(await run()).toMatchObject({ ok: true, value: { name: "you" }, execution_mode: "container", warnings: [] });
  expect(audit.events).toMatchObject([
    {
      category: "python_file_call",
      action: "block_call",
      success: true,
      owner_pack: "alpha",
      step_id: "call_hello",
      digest: V1,
      execution_mode: "container",
      details: { file: "backend/blocks/hello.py", runtime: "python", attempt: 1, outcome: "ok", adapter: "fake", image: "sha256:py" },
    },
  ]);
});

test("the block's context holds the contract's keys and nothing of the host", async () => {
  const { run, sandbox } = makeRunner();
  const outcome = run();
  await settle();
  expect(sandbox.calls[0]?.spec.context).toEqual({
    flow_id: "hello",
    step_id: "call_hello",
    phase: "main",
    ts: "2026-01-01T00:00:00.000Z",
    owner_pack: "alpha",
    inputs: { name: "you" },
    run_id: CALL.run_id,
    idempotency_key: "run:call_hello",
    attempt: 1,
    deadline_ts: "2026-01-01T00:01:00.000Z",
    capability_socket: null,
  });
  sandbox.calls[0]?.answer("x");
  await outcome;
});

test("X4 a pack that is not approved: nothing is started, hashed or asked of the engine", async () => {
  const { run, gate, sandbox, audit } = makeRunner();
  gate.refusal = { code: "approval.not_approved", reason: "the pack waits for approval", remedy: "rumi pack approve alpha" };
  const refused = { ok: false, error_type: "approval_rejected", execution_mode: "rejected", retryable: false };
  const remedy = "rumi pack approve alpha";
  // A run that began when the pack might not run is told why; one that began before is told that it changed.
  expect(await run({ digest: NO_BYTES })).toMatchObject({ ...refused, code: "approval.not_approved", remedy });
  expect(await run()).toMatchObject({ ...refused, code: "flow.pack_changed", remedy });
  expect(gate.asked).not.toContain("verify");
  expect(sandbox.log).toEqual([]);
  expect(audit.events).toMatchObject([
    { category: "python_file_call", success: false, execution_mode: "rejected", rejection_reason: "the pack waits for approval" },
    { category: "security", action: "approval.not_approved", success: false },
    { category: "python_file_call", success: false },
    { category: "security", action: "approval.not_approved", success: false },
  ]);
});

test("X5 a byte flipped in the snapshot: hash_verification_failed, before the engine is asked, and no instance", async () => {
  const { run, gate, sandbox } = makeRunner();
  gate.corrupt = true;
  sandbox.found = { ...sandbox.found, available: false };
  expect(await run()).toMatchObject({
    ok: false,
    code: "approval.snapshot_corrupt",
    error_type: "hash_verification_failed",
    retryable: false,
  });
  expect(sandbox.log).toEqual([]);
});

test("X7 another principal_id is ignored: the call runs as the owner pack, and that is audited", async () => {
  const { run, sandbox, audit } = makeRunner();
  const outcome = run({ claimed_principal: "beta" });
  await settle();
  expect(sandbox.calls[0]?.instance.spec.authority).toBe("alpha");
  sandbox.calls[0]?.answer("x");
  expect(await outcome).toMatchObject({ ok: true });
  expect(audit.events[0]).toMatchObject({
    category: "security",
    action: "principal_id_overridden",
    details: { claimed: "beta", principal_id: "alpha" },
  });
});

test("X8 strict without a sandbox: docker_required with the fixed words, and nothing starts", async () => {
  const { run, sandbox } = makeRunner();
  sandbox.found = { ...sandbox.found, available: false, remedy: "start Docker" };
  expect(await run()).toMatchObject({
    ok: false,
    code: "sandbox.docker_required",
    error_type: "docker_required",
    message: "Docker is required but not available",
    remedy: "start Docker",
  });
  sandbox.found = { ...sandbox.found, available: true, adapter: "host", isolation: "none" };
  expect(await run()).toMatchObject({ ok: false, code: "sandbox.docker_required" });
  expect(sandbox.log).toEqual([]);
});

test("X85 a sandbox that cannot give every wall is refused in strict, named in permissive", async () => {
  const strict = makeRunner();
  strict.sandbox.found = { ...strict.sandbox.found, weaknesses: [{ id: "pids", message: "no pids limit" }] };
  expect(await strict.run()).toMatchObject({ ok: false, code: "sandbox.engine_weak" });
  const permissive = makeRunner({ mode: "permissive" });
  permissive.sandbox.found = strict.sandbox.found;
  permissive.sandbox.echo = true;
  expect(await permissive.run()).toMatchObject({ ok: true, execution_mode: "container" });
});

test("X9 no image: image_missing with the command", async () => {
  const { run, sandbox } = makeRunner();
  sandbox.found = {
    ...sandbox.found,
    remedy: "tools/engine-up.sh",
    runtimes: { ...sandbox.found.runtimes, python: { ref: "rumi-base-python:dev", image_id: null, present: false } },
  };
  expect(await run()).toMatchObject({ ok: false, code: "sandbox.image_missing", remedy: "tools/engine-up.sh" });
});

test("the gates stand in order: approval, bytes, file and input, sandbox, slot", async () => {
  const { run, gate, sandbox } = makeRunner({ pool: { slots: 1, queue: 0 } });
  gate.refusal = { code: "approval.blocked", reason: "blocked" };
  gate.corrupt = true;
  sandbox.found = { ...sandbox.found, available: false };
  const deep = Array.from({ length: 70 }).reduce<JsonValue>((inner) => [inner], null);
  const codes: string[] = [];
  const note = async (over: Partial<BlockCall> = {}) => {
    const outcome = await run(over);
    codes.push(outcome.ok ? "ok" : outcome.code);
  };
  await note({ input: deep });
  gate.refusal = null;
  await note({ input: deep });
  gate.corrupt = false;
  await note({ input: deep });
  await note({ file: "backend/blocks/other.py" });
  await note();
  sandbox.found = { ...sandbox.found, available: true };
  void run();
  await settle();
  await note();
  expect(codes).toEqual([
    "flow.pack_changed",
    "approval.snapshot_corrupt",
    "flow.input_too_large",
    "sandbox.path_rejected",
    "sandbox.docker_required",
    "sandbox.busy",
  ]);
});

test("the gate is asked again after the bytes were hashed", async () => {
  const { run, gate, sandbox } = makeRunner();
  const verify = gate.verifySnapshot.bind(gate);
  gate.verifySnapshot = async () => {
    const answer = await verify();
    gate.refusal = { code: "approval.modified", reason: "edited meanwhile" };
    return answer;
  };
  expect(await run()).toMatchObject({ ok: false, code: "flow.pack_changed", message: "edited meanwhile" });
  expect(sandbox.log).toEqual([]);
});

test("a warm call hashes nothing and asks the gate once", async () => {
  const { run, gate, sandbox } = makeRunner();
  sandbox.echo = true;
  await run();
  gate.asked.length = 0;
  await run();
  expect(gate.asked).toEqual(["gate"]);
});

test("a run bound to bytes that were approved anew meanwhile is told so", async () => {
  const { run, gate } = makeRunner();
  gate.digest = v.parse(Digest, sha256("v2"));
  expect(await run()).toMatchObject({ ok: false, code: "flow.pack_changed", retryable: false });
});

test("input of 4 MiB passes and one byte more is refused", async () => {
  const { run, sandbox } = makeRunner();
  sandbox.echo = true;
  const text = "x".repeat(4 * 1024 * 1024 - 2);
  expect(await run({ input: text })).toMatchObject({ ok: true });
  expect(await run({ input: `${text}x` })).toMatchObject({ ok: false, code: "flow.input_too_large" });
  expect(await run({ input: "日".repeat(1_500_000) })).toMatchObject({ ok: false, code: "flow.input_too_large" });
});

test("every outcome has its code, and only cancelled is not worth another attempt", async () => {
  const facts = { message: "m", duration_ms: 1, start: "warm", log: { bytes: 0, dropped: 0 } } as const;
  for (const kind of [
    "block_error",
    "module_load_error",
    "no_run_function",
    "invalid_output",
    "response_too_large",
    "timeout",
    "cancelled",
    "crashed",
    "oom_killed",
    "protocol_error",
    "instance_lost",
  ] as const) {
    const { run, sandbox } = makeRunner();
    const outcome = run();
    await settle();
    sandbox.calls[0]?.fail({ kind, ...facts, exit_code: 3 });
    expect(await outcome).toMatchObject({
      ok: false,
      code: `sandbox.${kind}`,
      error_type: kind,
      retryable: kind !== "cancelled",
      execution_mode: "container",
      details: { exit_code: 3 },
    });
  }
});

test("a failed start may be tried again, a refusal may not", async () => {
  const { run, sandbox } = makeRunner();
  sandbox.startFailures = [new SandboxError("sandbox.start_failed", "no")];
  expect(await run()).toMatchObject({ ok: false, code: "sandbox.start_failed", retryable: true, execution_mode: "rejected" });
});

test("X51 permissive without a strict sandbox: host, warned in the result and in the audit entry, at most the host's time", async () => {
  const { run, sandbox, audit } = makeRunner({ mode: "permissive" });
  sandbox.found = { ...sandbox.found, adapter: "host", isolation: "none" };
  const outcome = run({ timeout_ms: 600_000 });
  await settle();
  expect(sandbox.calls[0]?.spec.timeout_ms).toBe(120_000);
  sandbox.calls[0]?.answer("x");
  expect(await outcome).toMatchObject({ ok: true, execution_mode: "host_permissive", warnings: [expect.stringContaining("on the host")] });
  expect(audit.events.at(-1)).toMatchObject({ execution_mode: "host_permissive", details: { warning: "host_permissive" } });
});

test("lines that a block prints, and its error, are redacted before anyone sees them", async () => {
  const lines: string[] = [];
  const { run, sandbox } = makeRunner({ redact: (text) => text.replaceAll("s3cret", "[REDACTED]") });
  const outcome = run({ on_log: (line) => lines.push(line.text) });
  await settle();
  sandbox.calls[0]?.spec.on_log?.({ stream: "stdout", text: "it is s3cret" });
  sandbox.calls[0]?.fail({
    kind: "block_error",
    message: "s3cret",
    traceback: "at s3cret",
    duration_ms: 1,
    start: "warm",
    log: { bytes: 12, dropped: 0 },
  });
  expect(await outcome).toMatchObject({ message: "[REDACTED]", details: { traceback: "at [REDACTED]" } });
  expect(lines).toEqual(["it is [REDACTED]"]);
});

test("a daemon that is stopping cancels the call", async () => {
  const { run, pool } = makeRunner();
  await pool.close();
  expect(await run()).toMatchObject({ ok: false, code: "sandbox.cancelled", retryable: false });
});

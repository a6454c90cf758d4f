import { rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { SandboxError } from "@rumi/sandbox";
import { FakeFailure, FakeSandbox } from "@rumi/sandbox/testing";
import type { FakeBlock, FakeSandboxOptions } from "@rumi/sandbox/testing";
import { expect, onTestFinished, test } from "vitest";
import { openLibPlace } from "./testing/lib-place.ts";
import type { LibPlace, LibPlaceOptions } from "./testing/lib-place.ts";

const ALPHA = "alpha" as PackId;
const done: FakeBlock = () => ({ status: "installed" });
const raising: FakeBlock = () => {
  throw new Error("no s3cret today");
};

interface Scene extends LibPlace {
  readonly sandbox: FakeSandbox;
  /** Files that ran since the last time it was asked. */
  ran(): string[];
}

async function scene(
  blocks: Record<string, FakeBlock> = {},
  options: Partial<LibPlaceOptions> & { readonly fake?: Partial<FakeSandboxOptions> } = {},
): Promise<Scene> {
  const sandbox = new FakeSandbox({ blocks, ...options.fake });
  const place = await openLibPlace({ sandbox: () => sandbox, ...options });
  onTestFinished(() => place[Symbol.asyncDispose]());
  return { ...place, sandbox, ran: () => sandbox.calls.splice(0).map((call) => call.file) };
}

test("F84 a lib is installed once; the same bytes are skipped, also after a new start", async () => {
  const s = await scene({ "lib/install.py": done, "lib/update.py": done });
  await s.approve("alpha", { "lib/install.py": "", "lib/update.py": "" });
  expect(await s.libs.check(ALPHA)).toMatchObject({ result: "due", lib_type: "install" });
  expect(await s.libs.processAll()).toMatchObject([
    { pack_id: "alpha", lib_type: "install", result: "done", code: null, output: '{"status":"installed"}' },
  ]);
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "install", result: "skipped" }]);
  expect(await s.again().processAll()).toMatchObject([{ result: "skipped" }]);
  expect(s.ran()).toEqual(["lib/install.py"]);
  expect(await s.libs.listRecords()).toEqual([
    {
      pack_id: "alpha",
      lib_type: "install",
      lib_digest: expect.stringMatching(/^sha256:/u),
      executed_at: expect.stringMatching(/Z$/u),
      success: true,
      error: null,
      failures: 0,
    },
  ]);
});

test("F84 changed bytes of the folder are updated once; a change elsewhere in the pack is none", async () => {
  const s = await scene({ "lib/install.py": done, "lib/update.py": done });
  await s.approve("alpha", { "lib/install.py": "", "lib/update.py": "", "lib/table.sql": "1" });
  await s.libs.processAll();
  await s.approve("alpha", { "blocks/a.py": "def run(): pass" });
  expect(await s.libs.processAll()).toMatchObject([{ result: "skipped" }]);
  await s.approve("alpha", { "lib/table.sql": "2" });
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "done" }]);
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "skipped" }]);
  expect(s.ran()).toEqual(["lib/install.py", "lib/update.py"]);
});

test("F84 without update changed bytes are installed anew; only update waits for a first success that never comes", async () => {
  const s = await scene({ "lib/install.mjs": done, "backend/lib/update.ts": done });
  await s.approve("alpha", { "lib/install.mjs": "1" });
  await s.libs.processAll();
  await s.approve("alpha", { "lib/install.mjs": "2" });
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "install", result: "done" }]);
  expect(s.ran()).toEqual(["lib/install.mjs", "lib/install.mjs"]);
  await s.approve("beta", { "backend/lib/update.ts": "" });
  await s.approve("gamma", { "blocks/a.py": "" });
  expect(await s.libs.process("beta" as PackId)).toMatchObject({ lib_type: null, result: "none" });
  expect(await s.libs.process("gamma" as PackId)).toMatchObject({ lib_digest: null, result: "none" });
  expect(s.ran()).toEqual([]);
});

test("F84 a failed lib runs again at the next start, three times, then not until its record is cleared", async () => {
  const s = await scene({ "lib/install.py": raising }, { redact: (text) => text.replaceAll("s3cret", "***") });
  await s.approve("alpha", { "lib/install.py": "" });
  for (let start = 1; start <= 3; start += 1) {
    const error = "block_error: no *** today";
    expect(await s.again().processAll()).toMatchObject([{ result: "failed", code: "lib.failed", error }]);
    expect(await s.libs.listRecords()).toMatchObject([{ success: false, error, failures: start }]);
  }
  expect(s.ran()).toHaveLength(3);
  const gaveUp = { result: "gave_up", code: "lib.gave_up", error: expect.stringContaining("no *** today") };
  expect(await s.again().processAll()).toMatchObject([gaveUp]);
  expect(await s.libs.processAll()).toMatchObject([gaveUp]);
  expect(await s.libs.execute(ALPHA, "install")).toMatchObject(gaveUp);
  expect(s.ran()).toEqual([]);
  expect(s.diagnostics.reports.at(-1)).toMatchObject({ kind: "lib", id: "alpha", status: "degraded", code: "lib.gave_up" });
  expect(await s.libs.clearRecord(ALPHA)).toBe(true);
  expect(await s.libs.clearRecord(ALPHA)).toBe(false);
  expect(await s.libs.processAll()).toMatchObject([{ result: "failed" }]);
});

test("F84 other bytes begin their own count; a failed update keeps the success that it goes on from", async () => {
  let fails = true;
  const s = await scene({ "lib/install.py": done, "lib/update.py": (call) => (fails ? raising(call) : 1) });
  await s.approve("alpha", { "lib/install.py": "", "lib/update.py": "1" });
  await s.libs.processAll();
  await s.approve("alpha", { "lib/update.py": "2" });
  for (let start = 0; start < 3; start += 1) expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "failed" }]);
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "gave_up" }]);
  expect(await s.libs.listRecords()).toMatchObject([
    { lib_type: "install", success: true },
    { lib_type: "update", success: false, failures: 3 },
  ]);
  await s.approve("alpha", { "lib/update.py": "3" });
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "failed" }]);
  fails = false;
  expect(await s.libs.processAll()).toMatchObject([{ lib_type: "update", result: "done" }]);
  expect(await s.libs.listRecords()).toMatchObject([{ lib_type: "update", success: true, failures: 0 }]);
  expect(s.diagnostics.reports.at(-1)).toMatchObject({ kind: "lib", id: "alpha", status: "ok" });
});

test("packs run in load order, one after the other, and one that fails hinders no other", async () => {
  const running: string[] = [];
  const noting: FakeBlock = async ({ instance }) => {
    running.push(`begin ${instance.pack_id}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running.push(`end ${instance.pack_id}`);
    return null;
  };
  const s = await scene({ "lib/install.py": noting, "backend/lib/install.py": raising });
  await s.approve("alpha", { "lib/install.py": "" }, { depends_on: ["zeta"] });
  await s.approve("beta", { "backend/lib/install.py": "" });
  await s.approve("zeta", { "lib/install.py": "" });
  const [outcomes] = await Promise.all([s.libs.processAll(), s.libs.process(ALPHA)]);
  expect(outcomes.map(({ pack_id, result }) => [pack_id, result])).toEqual([
    ["beta", "failed"],
    ["zeta", "done"],
    ["alpha", expect.stringMatching(/done|skipped/u)],
  ]);
  expect(running.filter((line) => line.startsWith("begin"))).toHaveLength(2);
  for (let at = 0; at < running.length; at += 2) expect(running[at + 1]).toBe(running[at]?.replace("begin", "end"));
});

test("a run has an instance of its own: snapshot to read, /data to write, no sockets, 120 s, the context of the guide", async () => {
  const s = await scene(
    {
      "backend/lib/install.py": ({ log }) => {
        log("stdout", "hello s3cret\n");
        return { key: "s3cret" };
      },
    },
    { redact: (text) => text.replaceAll("s3cret", "***") },
  );
  await s.approve("alpha", { "backend/lib/install.py": "" });
  const before = s.home.approvals.gate(ALPHA);
  expect(await s.libs.execute(ALPHA)).toMatchObject({ result: "done", output: '{"key":"***"}', log: ["stdout: hello ***"] });
  expect(s.sandbox.started).toMatchObject([
    {
      purpose: "lib",
      pack_id: "alpha",
      authority: "alpha",
      runtime: "python",
      mounts: [
        { source: before.allowed ? before.root : null, target: "/pack", read_only: true },
        { source: s.data("alpha"), target: "/data", read_only: false },
      ],
      sockets: {},
      env: {},
      reuse: false,
      slots: 1,
    },
  ]);
  expect(s.sandbox.calls).toMatchObject([{ convention: "lib", file: "backend/lib/install.py", input: null, timeout_ms: 120_000 }]);
  expect(s.sandbox.calls[0]?.context).toEqual({
    pack_id: "alpha",
    lib_type: "install",
    ts: expect.stringMatching(/Z$/u),
    lib_dir: "/pack/backend/lib",
    data_dir: "/data",
  });
  expect(await s.sandbox.list()).toEqual([]);
  expect((await stat(s.data("alpha"))).mode & 0o777).toBe(0o777);
  expect((await stat(join(s.data("alpha"), ".."))).mode & 0o777).toBe(0o700);
});

test("without walls the context names the folders where the host has them, and the audit says how it ran", async () => {
  const s = await scene({ "lib/install.py": ({ context }) => context }, { fake: { probe: { isolation: "none" } } });
  await s.approve("alpha", { "lib/install.py": "" });
  const gate = s.home.approvals.gate(ALPHA);
  const [outcome] = await s.libs.processAll();
  expect(JSON.parse(outcome?.output ?? "null")).toMatchObject({
    lib_dir: gate.allowed ? join(gate.root, "lib") : null,
    data_dir: s.data("alpha"),
  });
  expect(s.audit.events).toMatchObject([{ action: "lib_install", execution_mode: "host_permissive" }]);
});

test("F90 every run is one system entry, lib_install or lib_update; a skip, a check and a list are none", async () => {
  const s = await scene({ "lib/install.py": done, "lib/update.py": raising });
  await s.approve("alpha", { "lib/install.py": "", "lib/update.py": "1" });
  await s.libs.processAll();
  await s.libs.processAll();
  await s.libs.check(ALPHA);
  await s.libs.listRecords();
  expect(s.audit.events).toMatchObject([
    { category: "system", action: "lib_install", success: true, owner_pack: "alpha", execution_mode: "container" },
  ]);
  await s.approve("alpha", { "lib/update.py": "2" });
  await s.libs.processAll();
  expect(s.audit.events.slice(1)).toMatchObject([
    { category: "system", action: "lib_update", success: false, severity: "warning", error_type: "lib.failed", owner_pack: "alpha" },
  ]);
});

test("what does not start is refused, audited, and counts towards no giving up", async () => {
  const s = await scene(
    { "lib/install.py": done },
    {
      admit: () => Promise.reject(new SandboxError("sandbox.docker_required", "Docker is required but not available")),
    },
  );
  await s.approve("alpha", { "lib/install.py": "" });
  for (let start = 0; start < 4; start += 1)
    expect(await s.libs.processAll()).toMatchObject([{ lib_type: "install", result: "refused", code: "sandbox.docker_required" }]);
  expect(s.audit.events[0]).toMatchObject({ action: "lib_install", success: false, execution_mode: "rejected" });
  expect(await s.libs.listRecords()).toEqual([]);
  expect(s.diagnostics.reports.at(-1)).toMatchObject({ kind: "lib", id: "alpha", status: "degraded", code: "sandbox.docker_required" });
});

test("an engine that goes, and a daemon that stops, in the middle of a run are not the pack's failures", async () => {
  let kind: "instance_lost" | "hang" = "instance_lost";
  const begun = Promise.withResolvers<void>();
  const s = await scene({
    "lib/install.py": async () => {
      if (kind === "instance_lost") throw new FakeFailure("instance_lost", "the engine went");
      begun.resolve();
      await new Promise(() => undefined);
      return null;
    },
  });
  await s.approve("alpha", { "lib/install.py": "" });
  for (let start = 0; start < 4; start += 1) expect(await s.libs.processAll()).toMatchObject([{ result: "failed" }]);
  expect(await s.libs.listRecords()).toMatchObject([{ success: false, failures: 0 }]);
  kind = "hang";
  const running = s.libs.processAll();
  await begun.promise;
  await s.libs[Symbol.asyncDispose]();
  expect(await running).toMatchObject([{ result: "failed", error: expect.stringMatching(/^cancelled/u) }]);
  expect(await s.sandbox.list()).toEqual([]);
  expect(await s.libs.processAll()).toMatchObject([{ result: "refused", code: "daemon.stopping" }]);
  expect(await s.again().listRecords()).toMatchObject([{ failures: 0 }]);
});

test("a pack that is closed in the middle of its run is ended, and its snapshot is kept until then", async () => {
  const begun = Promise.withResolvers<void>();
  const s = await scene({
    "lib/install.py": async () => {
      begun.resolve();
      await new Promise(() => undefined);
      return null;
    },
  });
  await s.approve("alpha", { "lib/install.py": "" });
  s.home.approvals.onChange((change) => s.libs.packChanged(change.pack_id as PackId));
  const gate = s.home.approvals.gate(ALPHA);
  const running = s.libs.processAll();
  await begun.promise;
  expect(s.libs.digestsInUse("alpha")).toEqual([gate.allowed ? gate.digest : null]);
  expect(s.libs.digestsInUse("beta")).toEqual([]);
  await s.home.approvals.reject("alpha", { actor: "test" });
  expect(await running).toMatchObject([{ result: "failed", error: expect.stringMatching(/^cancelled/u) }]);
  expect(s.libs.digestsInUse("alpha")).toEqual([]);
  expect(await s.libs.listRecords()).toMatchObject([{ failures: 0 }]);
});

test("a pack that may not run, a file that is not there and a copy that was damaged run nothing", async () => {
  const s = await scene({ "lib/install.py": done });
  await s.home.putPack("alpha", { "lib/install.py": "" });
  await s.home.approvals.scan();
  expect(await s.libs.process(ALPHA)).toMatchObject({ result: "refused", code: "approval.not_approved" });
  expect(await s.libs.processAll()).toEqual([]);
  await s.approve("alpha", { "lib/install.py": "" });
  expect(await s.libs.execute(ALPHA, "update")).toMatchObject({ result: "refused", code: "lib.not_found" });
  const gate = s.home.approvals.gate(ALPHA);
  if (!gate.allowed) throw new Error(gate.reason);
  const file = join(gate.root, "lib/install.py");
  await rm(file);
  await writeFile(file, "import os");
  expect(await s.libs.process(ALPHA)).toMatchObject({ result: "refused", code: "approval.snapshot_corrupt" });
  expect(s.ran()).toEqual([]);
});

test("execute runs what is not due", async () => {
  const s = await scene({ "lib/install.py": done, "lib/update.py": done });
  await s.approve("alpha", { "lib/install.py": "", "lib/update.py": "" });
  expect(await s.libs.execute(ALPHA, "update")).toMatchObject({ lib_type: "update", result: "done" });
  expect(await s.libs.execute(ALPHA)).toMatchObject({ result: "skipped" });
  expect(await s.libs.execute(ALPHA, "install")).toMatchObject({ lib_type: "install", result: "done" });
  expect(s.ran()).toEqual(["lib/update.py", "lib/install.py"]);
});

test.each([
  ["torn", '{"version":1,"records":[{"pack_id":"al'],
  ["odd", '{"version":1,"records":[{"pack_id":"alpha"}]}'],
  ["of another version", '{"version":2,"records":[]}'],
  ["twice the same key", '{"version":1,"version":1,"records":[]}'],
])("a file of records that is %s counts as empty and is told", async (_, text) => {
  const s = await scene({ "lib/install.py": done });
  await s.approve("alpha", { "lib/install.py": "" });
  await writeFile(s.recordsFile, text);
  expect(await s.libs.processAll()).toMatchObject([{ result: "done" }]);
  expect(s.diagnostics.reports).toMatchObject([{ kind: "lib", id: "records", status: "degraded" }]);
  expect(await s.libs.processAll()).toMatchObject([{ result: "skipped" }]);
  expect(s.diagnostics.reports.slice(1)).toMatchObject([{ kind: "lib", id: "records", status: "ok" }]);
});

test("a data folder or a file of records that is a link is not followed", async () => {
  const s = await scene({ "lib/install.py": done });
  await s.approve("alpha", { "lib/install.py": "" });
  await symlink("/tmp", s.data("alpha"));
  expect(await s.libs.processAll()).toMatchObject([{ result: "refused", code: "safe_files.not_a_folder" }]);
  await rm(s.data("alpha"));
  await symlink("/etc/passwd", s.recordsFile);
  expect(await s.libs.processAll()).toMatchObject([{ result: "done" }]);
  expect((await stat(s.recordsFile)).size).toBeLessThan(1000);
});

test("X77 a run that fills the disk is ended before its time, and counts", async () => {
  const s = await scene(
    {
      "lib/install.py": async ({ instance, signal }) => {
        const data = instance.mounts.find((mount) => mount.target === "/data")?.source ?? "";
        await writeFile(join(data, "big"), Buffer.alloc(257 * 1024 * 1024));
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        return null;
      },
    },
    { watchMs: 20 },
  );
  await s.approve("alpha", { "lib/install.py": "" });
  expect(await s.libs.processAll()).toMatchObject([{ result: "failed", code: "lib.failed", error: expect.stringContaining("268435456") }]);
  expect(await s.libs.listRecords()).toMatchObject([{ failures: 1 }]);
});

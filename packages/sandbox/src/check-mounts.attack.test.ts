import { mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { checkMounts, type MountRules } from "./check-mounts.ts";
import type { InstancePurpose } from "./ports.ts";

async function scene() {
  const folder = await temporaryFolder();
  const userData = join(folder.path, "home/user_data");
  const snapshot = join(userData, "packs/p/snapshots/aa");
  const own = join(folder.path, "sockets/own");
  const other = join(folder.path, "sockets/other");
  for (const path of [snapshot, own, other, join(folder.path, "engine"), join(folder.path, "plain")])
    await mkdir(path, { recursive: true });
  await writeFile(join(folder.path, "engine/engine.sock"), "");
  const rules: MountRules = {
    userData,
    enginePaths: [join(folder.path, "engine/engine.sock")],
    socketBases: [join(folder.path, "sockets")],
    ownSocketFolders: [own],
  };
  const rule = (source: string, target = "/pack", read_only = true) =>
    checkMounts([{ source, target, read_only }], rules).then(
      () => "accepted",
      (error: unknown) => (error as { details: { rule: string } }).details.rule,
    );
  return {
    folder,
    root: folder.path,
    userData,
    snapshot,
    own,
    other,
    rules,
    rule,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("a snapshot, a plain folder and the instance's own socket folder are accepted", async () => {
  await using s = await scene();
  expect(await s.rule(s.snapshot)).toBe("accepted");
  expect(await s.rule(join(s.root, "plain"), "/data", false)).toBe("accepted");
  expect(await s.rule(s.own, "/run/rumi/runner")).toBe("accepted");
});

test("the root, the daemon's records and every folder above them are refused", async () => {
  await using s = await scene();
  expect(await s.rule("/")).toMatch(/root of the host/u);
  expect(await s.rule(s.userData)).toMatch(/home of records/u);
  expect(await s.rule(join(s.root, "home"))).toMatch(/home of records/u);
});

test("X40 a link, and what lies behind one, is refused", async () => {
  await using s = await scene();
  await symlink(s.snapshot, join(s.root, "link"));
  await symlink(join(s.userData, "packs"), join(s.root, "packs"));
  expect(await s.rule(join(s.root, "link"))).toMatch(/link/u);
  expect(await s.rule(join(s.root, "packs/p/snapshots/aa"))).toMatch(/link/u);
});

test("an engine path, and a folder that holds one, is refused", async () => {
  await using s = await scene();
  expect(await s.rule(join(s.root, "engine/engine.sock"))).toMatch(/engine/u);
  expect(await s.rule(join(s.root, "engine"))).toMatch(/engine/u);
  expect(await s.rule("/proc/self")).not.toBe("accepted");
  expect(await s.rule("/sys")).toMatch(/system/u);
});

test("a foreign socket and the socket folder of another instance are refused", async () => {
  await using s = await scene();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(s.root, "plain/x.sock"), resolve));
  try {
    expect(await s.rule(s.other, "/run/rumi/runner")).toMatch(/other instances/u);
    expect(await s.rule(join(s.root, "sockets"))).toMatch(/other instances/u);
    expect(await s.rule(join(s.root, "plain/x.sock"))).toMatch(/socket/u);
    expect(await s.rule(join(s.root, "plain"))).toMatch(/socket/u);
    expect(await s.rule(s.own, "/run/rumi/runner", false)).toMatch(/read-only/u);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test.each(["relative", "/a/../b", "/a/", "/a\0b", "/missing-folder-of-a-test"])("the source %j is refused", async (source) => {
  await using s = await scene();
  expect(await s.rule(source)).not.toBe("accepted");
});

test.each([
  "/",
  "/proc",
  "/proc/1",
  "/sys/fs",
  "/dev/shm",
  "/runner",
  "/usr",
  "/usr/lib/python3",
  "/etc/passwd",
  "/run",
  "/run/rumi",
  "pack",
])("the target %s belongs to the sandbox", async (target) => {
  await using s = await scene();
  expect(await s.rule(s.snapshot, target)).not.toBe("accepted");
});

test("only a lib writes /data, and nothing else; others write below /mnt alone", async () => {
  await using s = await scene();
  const source = join(s.root, "plain");
  const rule = (purpose: InstancePurpose, target: string) =>
    checkMounts([{ source, target, read_only: false }], { ...s.rules, purpose }).then(
      () => "accepted",
      (error: unknown) => (error as { details: { rule: string } }).details.rule,
    );
  expect(await rule("lib", "/data")).toBe("accepted");
  for (const target of ["/pack", "/data/x", "/inbox", "/mnt/out", "/datax"]) expect(await rule("lib", target)).toMatch(/may not write/u);
  for (const purpose of ["block", "handler", "unit"] as const) {
    expect(await rule(purpose, "/mnt/out")).toBe("accepted");
    for (const target of ["/data", "/pack", "/inbox", "/mntx"]) expect(await rule(purpose, target)).toMatch(/may not write/u);
  }
});

test("two mounts may not share a target, and a refusal names no host path", async () => {
  await using s = await scene();
  const twice = [
    { source: s.snapshot, target: "/pack", read_only: true },
    { source: s.own, target: "/pack", read_only: true },
  ];
  const error = await checkMounts(twice, s.rules).catch((e: unknown) => e as Error);
  expect(error).toMatchObject({ code: "sandbox.invalid_mount" });
  expect((error as Error).message).not.toContain(s.root);
});

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { chmod, mkdir, readdir, stat, symlink } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { systemRandom } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { InstanceSockets } from "./instance-sockets.ts";

const refusal = expect.objectContaining({ code: "sandbox.start_failed" });

async function base(): Promise<AsyncDisposable & { path: string }> {
  const folder = await temporaryFolder("rumi-s-");
  await chmod(folder.path, 0o700);
  return folder;
}

test("X37 takes exactly one connection, then the path is gone", async () => {
  await using folder = await base();
  await using sockets = await InstanceSockets.create(folder.path, systemRandom.hex(16));
  const path = join(sockets.folder, "runner.sock");
  const first = connect(path);
  const accepted = await sockets.runner;
  accepted.write("hello");
  expect(Buffer.from((await once(first, "data"))[0] as Uint8Array).toString()).toBe("hello");
  expect(await readdir(sockets.folder)).toEqual([]);
  const second = connect(path);
  expect((await once(second, "error"))[0]).toMatchObject({ code: "ENOENT" });
  first.destroy();
});

test("two connections at once: one is served, the other closed", async () => {
  await using folder = await base();
  await using sockets = await InstanceSockets.create(folder.path, systemRandom.hex(16));
  const path = join(sockets.folder, "runner.sock");
  const both = [connect(path), connect(path)];
  const ends = both.map(
    (socket) =>
      new Promise((done) =>
        socket
          .resume()
          .on("error", () => {})
          .on("close", done),
      ),
  );
  await sockets.runner;
  await Promise.race(ends);
  expect(both.filter((socket) => socket.destroyed).length).toBe(1);
  for (const socket of both) socket.destroy();
});

test("X54 without a group the socket is open to all behind the base that only we may enter", async () => {
  await using folder = await base();
  await using sockets = await InstanceSockets.create(folder.path, systemRandom.hex(16));
  expect((await stat(sockets.folder)).mode & 0o777).toBe(0o711);
  expect((await stat(join(sockets.folder, "runner.sock"))).mode & 0o777).toBe(0o666);
});

test("with a group the folder is 0750 and the socket 0660 of that group", async () => {
  await using folder = await base();
  const gid = process.getgid?.() ?? 0;
  await using sockets = await InstanceSockets.create(folder.path, systemRandom.hex(16), { gid });
  const facts = await stat(join(sockets.folder, "runner.sock"));
  expect((await stat(sockets.folder)).mode & 0o777).toBe(0o750);
  expect([facts.mode & 0o777, facts.gid]).toEqual([0o660, gid]);
});

test("disposing removes the folder and refuses whoever waits for the runner", async () => {
  await using folder = await base();
  const sockets = await InstanceSockets.create(folder.path, systemRandom.hex(16));
  const waiting = sockets.runner;
  await sockets[Symbol.asyncDispose]();
  await expect(waiting).rejects.toEqual(refusal);
  expect(await readdir(folder.path)).toEqual([]);
  await sockets[Symbol.asyncDispose]();
});

test("a base that others may enter, a link, a missing one, an existing folder, a long path, another id are refused", async () => {
  await using folder = await base();
  const id = systemRandom.hex(16);
  const open = join(folder.path, "open");
  await mkdir(open);
  await chmod(open, 0o755);
  await expect(InstanceSockets.create(open, id)).rejects.toEqual(refusal);
  const safe = join(folder.path, "safe");
  await mkdir(safe, { mode: 0o700 });
  await symlink(safe, join(folder.path, "link"));
  await expect(InstanceSockets.create(join(folder.path, "link"), id)).rejects.toEqual(refusal);
  await expect(InstanceSockets.create(join(folder.path, "none"), id)).rejects.toEqual(refusal);
  await expect(InstanceSockets.create(safe, "../../etc")).rejects.toEqual(refusal);
  const long = join(folder.path, "x".repeat(60));
  await mkdir(long, { mode: 0o700 });
  await expect(InstanceSockets.create(long, id)).rejects.toEqual(refusal);
  await mkdir(join(safe, id));
  await expect(InstanceSockets.create(safe, id)).rejects.toEqual(refusal);
});

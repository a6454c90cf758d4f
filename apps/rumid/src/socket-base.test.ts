import { chmod, mkdir, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { chooseSocketBase } from "./socket-base.ts";

const WISHES = { kind: "capability", configured: null, runtimeFolder: null, installation: "0123456789abcdef" } as const;

test("a configured folder is made private and used", async () => {
  await using folder = await temporaryFolder();
  const base = join(folder.path, "sockets");
  expect(await chooseSocketBase({ ...WISHES, configured: base })).toBe(base);
  expect((await stat(base)).mode & 0o777).toBe(0o700);
});

test("a configured folder that others may enter, or a link, stops the start and names the setting", async () => {
  await using folder = await temporaryFolder();
  const open = join(folder.path, "open");
  await mkdir(open);
  await chmod(open, 0o755);
  await symlink(open, join(folder.path, "link"));
  for (const configured of [open, join(folder.path, "link")]) {
    await expect(chooseSocketBase({ ...WISHES, configured })).rejects.toThrow(/RUMI_CAPABILITY_SOCK_DIR/u);
  }
});

test("without a setting some private folder of this user is found", async () => {
  await using folder = await temporaryFolder();
  const base = await chooseSocketBase({ ...WISHES, runtimeFolder: folder.path });
  expect((await stat(base)).mode & 0o077).toBe(0);
});

test("egress sockets have a place and a setting of their own", async () => {
  await using folder = await temporaryFolder();
  const egress = { ...WISHES, kind: "egress", runtimeFolder: folder.path } as const;
  expect(await chooseSocketBase(egress)).not.toBe(await chooseSocketBase({ ...WISHES, runtimeFolder: folder.path }));
  const open = join(folder.path, "open");
  await mkdir(open);
  await chmod(open, 0o755);
  await expect(chooseSocketBase({ ...egress, configured: open })).rejects.toThrow(/RUMI_EGRESS_SOCK_DIR/u);
});

import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { HostPrivileges } from "./host-privileges.ts";
import { openTestGrants, type TestGrants } from "./testing/open-test-grants.ts";

const A = "a" as PackId;
const B = "b" as PackId;

async function open(home: string): Promise<TestGrants & { privileges: HostPrivileges }> {
  const opened = await openTestGrants(home);
  const privileges = new HostPrivileges({ ...opened, forbiddenSources: [join(home, "project"), opened.userData] });
  await privileges.load();
  return { ...opened, privileges };
}

test("T96 host.execute names each handler: another pack, another handler, and a pattern have nothing", async () => {
  await using home = await temporaryFolder();
  const { privileges, events } = await open(home.path);
  const given = await privileges.grant("a", "host.execute", ["fs_read", "fs_read"], "admin");
  expect(given).toMatchObject({ privilege: "host.execute", config: ["fs_read"], granted_by: "admin" });
  expect(given.warnings).toHaveLength(1);
  expect([privileges.mayExecute(A, "fs_read"), privileges.mayExecute(A, "b"), privileges.mayExecute(B, "fs_read")]).toEqual([
    true,
    false,
    false,
  ]);
  for (const config of [["*"], ["fs_*"], "*", ["fs_read", "*"], [], undefined, null, {}, [5], [null], [""], ["a b"], { ids: ["x"] }]) {
    await expect(privileges.grant("b", "host.execute", config, "admin"), JSON.stringify(config)).rejects.toMatchObject({
      code: "capability.invalid_config",
    });
  }
  expect(privileges.list()).toMatchObject([{ pack_id: "a", privileges: [{ privilege: "host.execute" }] }]);
  expect(events("permission")[0]).toMatchObject({
    action: "grant",
    details: { permission_type: "host_privilege", principal_id: "a", permission_id: "host.execute", config: ["fs_read"], actor: "admin" },
  });
  expect(events("security").every((event) => event.action === "capability.invalid_config")).toBe(true);
});

test("a mount shows a real folder, outside the project and user_data, below /mnt", async () => {
  await using home = await temporaryFolder();
  const { privileges, userData } = await open(home.path);
  for (const folder of ["data", "data/in", "project/in", "other"]) await mkdir(join(home.path, folder), { recursive: true });
  await symlink(join(home.path, "data"), join(home.path, "link"));
  await writeFile(join(home.path, "file"), "x");
  const data = join(home.path, "data");
  await privileges.grant("a", "host.mount", [{ source: data, target: "/mnt/data" }], "admin");
  expect(privileges.mounts(A)).toEqual([{ source: data, target: "/mnt/data", read_only: true }]);
  expect(privileges.mounts(B)).toEqual([]);
  const sources = ["link", "link/in", "file", "missing", "project", "project/in", "", "data/../data", "user_data/permissions"];
  const wrong: unknown[] = [
    ...sources.map((name) => [{ source: join(home.path, "/") + name, target: "/mnt/x" }]),
    ...[userData, "/", "/etc/..", "data", "", home.path].map((source) => [{ source, target: "/mnt/x" }]),
    ...["/mnt", "/mnt/", "/etc", "/mnt/../etc", "/mnt/a/..", "mnt/a", "/mnt//a", "/mnt/a b", "/mnt/."].map((target) => [
      { source: data, target },
    ]),
    [{ source: data, target: "/mnt/x", read_only: "no" }],
    [{ source: data, target: "/mnt/x", more: 1 }],
    [
      { source: data, target: "/mnt/x" },
      { source: join(home.path, "other"), target: "/mnt/x/y" },
    ],
    [],
    "x",
    [null],
  ];
  for (const config of wrong) {
    await expect(privileges.grant("b", "host.mount", config, "admin"), JSON.stringify(config)).rejects.toMatchObject({
      code: "capability.invalid_config",
    });
  }
});

test("a privilege without config, a revoke, a restart", async () => {
  await using home = await temporaryFolder();
  const { privileges } = await open(home.path);
  const heard: unknown[] = [];
  const deaf = privileges.onChange((privilege, pack) => void heard.push([privilege, pack, privileges.has(pack, privilege)]));
  await privileges.grant("a", "allow_wildcard_modifiers", undefined, "admin");
  await expect(privileges.grant("b", "allow_wildcard_modifiers", { x: 1 }, "admin")).rejects.toMatchObject({
    code: "capability.invalid_config",
  });
  await expect(privileges.grant("b", "host.root", undefined, "admin")).rejects.toMatchObject({ code: "capability.invalid_config" });
  await expect(privileges.grant("__proto__", "allow_wildcard_modifiers", undefined, "admin")).rejects.toMatchObject({
    code: "capability.invalid_config",
  });
  await privileges.grant("b", "allow_wildcard_modifiers", undefined, "admin");
  await privileges.revoke("b", "allow_wildcard_modifiers", "admin");
  deaf();
  expect(heard).toEqual([
    ["allow_wildcard_modifiers", A, true],
    ["allow_wildcard_modifiers", B, true],
    ["allow_wildcard_modifiers", B, false],
  ]);
  const again = (await open(home.path)).privileges;
  expect([again.has(A, "allow_wildcard_modifiers"), again.has(B, "allow_wildcard_modifiers"), again.has(A, "host.execute")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(again.has("a__b" as PackId, "allow_wildcard_modifiers")).toBe(false);
  await again.revoke("a", "allow_wildcard_modifiers", "admin");
  await expect(again.revoke("a", "allow_wildcard_modifiers", "admin")).rejects.toMatchObject({ code: "capability.grant_not_found" });
  expect(again.list()).toEqual([]);
  expect((await open(home.path)).privileges.list()).toEqual([]);
});

test("an edited file of privileges gives nobody any", async () => {
  await using home = await temporaryFolder();
  const { privileges, userData } = await open(home.path);
  await privileges.grant("a", "host.execute", ["x"], "admin");
  await privileges.grant("b", "allow_wildcard_modifiers", undefined, "admin");
  const path = join(userData, "permissions", "host_privileges.json");
  await writeFile(path, (await readFile(path, "utf8")).replace('"x"', '"y"'));
  const again = await open(home.path);
  expect([again.privileges.list(), again.privileges.mayExecute(A, "x"), again.privileges.has(B, "allow_wildcard_modifiers")]).toEqual([
    [],
    false,
    false,
  ]);
  expect(again.events("security")).toMatchObject([{ action: "record_tampered", severity: "critical" }]);
  expect(again.diagnostics.reports).toMatchObject([{ id: "host_privileges", status: "failed" }]);
});

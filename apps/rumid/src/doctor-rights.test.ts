import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openTestGrants } from "@rumi/capability/testing";
import { openTestRegistry } from "@rumi/store/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import type { Config } from "./config.ts";
import { loadConfig } from "./config.ts";
import { rightsChecks } from "./doctor-rights.ts";
import type { Finding } from "./finding.ts";
import { homePaths } from "./home.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");

function configOf(home: string, env: Readonly<Record<string, string>>): Config {
  return loadConfig({}, { RUMI_HOME: home, RUMI_CAPABILITY_SOCK_DIR: join(home, "c"), RUMI_EGRESS_SOCK_DIR: join(home, "e"), ...env });
}

async function check(home: string, env: Readonly<Record<string, string>> = {}): Promise<readonly Finding[]> {
  return await rightsChecks(configOf(home, env), homePaths(home));
}

const bad = (findings: readonly Finding[]) => findings.filter((finding) => finding.status !== "ok");

test("a home that is not laid out is judged by its sockets alone, and nothing is made in it", async () => {
  await using folder = await temporaryFolder();
  const findings = await check(folder.path);
  expect(findings.map(({ id, status }) => [id, status])).toEqual([
    ["socket_round_trip", "ok"],
    ["socket_round_trip", "ok"],
  ]);
  expect(await readdir(folder.path)).toEqual(["c", "e"]);
  expect([await readdir(join(folder.path, "c")), await readdir(join(folder.path, "e"))]).toEqual([[], []]);
});

test("a well home has nothing to mend", async () => {
  await using folder = await temporaryFolder();
  const { give } = await openTestGrants(folder.path);
  await give("my_pack", "store.get", { allowed_store_ids: ["a"] });
  await give("my_pack", "network.egress", { allowed_domains: ["a.example"], allowed_ports: [443] });
  await mkdir(join(folder.path, "user_data/settings"), { mode: 0o700 });
  await writeFile(join(folder.path, "user_data/settings/.secrets_key"), `${KEY}\n`, { mode: 0o600 });
  await writeFile(join(folder.path, "user_data/permissions/uses.db"), "", { mode: 0o600 });
  expect(bad(await check(folder.path))).toEqual([]);
});

test.each<[string, (data: string) => Promise<unknown>, RegExp, string]>([
  [
    "gone beside secrets",
    () => Promise.resolve(),
    /is not there, so 1 secrets/u,
    "put your own copy of user_data/settings/.secrets_key back",
  ],
  [
    "open to others",
    (data) => writeFile(join(data, "settings/.secrets_key"), KEY, { mode: 0o644 }),
    /others may read/u,
    "chmod 600 user_data/settings/.secrets_key",
  ],
  ["no key", (data) => writeFile(join(data, "settings/.secrets_key"), "hello", { mode: 0o600 }), /holds no key/u, "put your own copy"],
  ["a link", (data) => symlink("/etc/hostname", join(data, "settings/.secrets_key")), /no plain file/u, "put your own copy"],
])("a secrets key that is %s is found and named, with what mends it", async (_, plant, message, remedy) => {
  await using folder = await temporaryFolder();
  const data = join(folder.path, "user_data");
  await mkdir(join(data, "settings"), { recursive: true, mode: 0o700 });
  await mkdir(join(data, "secrets"), { mode: 0o700 });
  await writeFile(join(data, "secrets/API_KEY.json"), "{}", { mode: 0o600 });
  await plant(data);
  const [finding] = bad(await check(folder.path));
  expect(finding).toMatchObject({ id: "keys", status: "fail", message: expect.stringMatching(message) as string });
  expect(finding?.remedy).toContain(remedy);
});

test("a key file that a setting names has to be there and closed to everybody", async () => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, "user_data"), { mode: 0o700 });
  const file = join(folder.path, "key");
  const env = { RUMI_SECRETS_KEY_FILE: file };
  expect(bad(await check(folder.path, env))[0]).toMatchObject({
    id: "keys",
    status: "fail",
    message: expect.stringContaining("RUMI_SECRETS_KEY_FILE") as string,
  });
  await writeFile(file, KEY, { mode: 0o644 });
  expect(bad(await check(folder.path, env))[0]?.remedy).toBe('chmod o-rwx "$RUMI_SECRETS_KEY_FILE"');
  await chmod(file, 0o640);
  expect(bad(await check(folder.path, env))).toEqual([]);
});

test("changed, forged, replayed and missing grants are found; each names the reset of its principal", async () => {
  await using folder = await temporaryFolder();
  const { give } = await openTestGrants(folder.path);
  const file = (name: string) => join(folder.path, "user_data/permissions/capabilities", `${name}.json`);
  await writeFile(join(folder.path, "user_data/permissions/uses.db"), "", { mode: 0o600 });
  const told = async () => bad(await check(folder.path)).filter(({ id }) => id === "state_files");
  await give("edited", "store.get", { allowed_store_ids: ["a"] });
  await give("replayed", "store.get", { allowed_store_ids: ["a"] });
  const old = await readFile(file("replayed"));
  await give("replayed", "store.get", { allowed_store_ids: ["b"] });
  expect(await told()).toEqual([]);
  await writeFile(file("edited"), (await readFile(file("edited"), "utf8")).replace('"a"', '"z"'));
  expect((await told())[0]).toMatchObject({ status: "fail", remedy: "npm run rumi -- grant reset edited" });
  await give("gone", "store.get", { allowed_store_ids: ["a"] });
  await rm(file("gone"));
  await writeFile(file("replayed"), old);
  await writeFile(file("unsigned"), JSON.stringify({ principal_id: "unsigned", grants: [] }), { mode: 0o600 });
  await writeFile(join(folder.path, "user_data/permissions/host_privileges.json"), '{"privileges":[]}', { mode: 0o600 });
  const findings = await told();
  expect(findings[0]?.message).toContain("edited, gone, replayed, unsigned");
  expect(findings[1]).toMatchObject({ message: expect.stringContaining("privileges count for nothing") as string });
});

test("shares, counters and stores that are not what they were are found", async () => {
  await using folder = await temporaryFolder();
  await openTestRegistry(folder.path);
  const { give } = await openTestGrants(folder.path);
  await give("my_pack", "store.get", { allowed_store_ids: ["a"] });
  const data = join(folder.path, "user_data");
  const told = async () => bad(await check(folder.path)).map(({ status, remedy }) => [status, remedy]);
  expect(await told()).toEqual([["warn", "npm run rumi -- grant list"]]);
  await mkdir(join(data, "stores"), { recursive: true, mode: 0o700 });
  for (const name of ["permissions/uses.db", "stores/stores.db"])
    await writeFile(join(data, name), "not a database at all", { mode: 0o600 });
  await writeFile(join(data, "stores/sharing.json"), "[]", { mode: 0o600 });
  expect(await told()).toEqual([
    ["fail", "npm run rumi -- store list --shared"],
    ["fail", "mv user_data/permissions/uses.db user_data/permissions/uses.db.broken"],
    ["fail", "put your own copy of it back"],
  ]);
});

test("rights and secrets that others may read are found, and recover may close them", async () => {
  await using folder = await temporaryFolder();
  const { give } = await openTestGrants(folder.path);
  await give("my_pack", "fs.read");
  await writeFile(join(folder.path, "user_data/permissions/uses.db"), "", { mode: 0o600 });
  await chmod(join(folder.path, "user_data/permissions/capabilities/my_pack.json"), 0o644);
  expect(bad(await check(folder.path))).toEqual([
    {
      id: "modes",
      status: "fail",
      message: "others may read user_data/permissions/capabilities/my_pack.json",
      remedy: "chmod go-rwx user_data/permissions/capabilities/my_pack.json",
      auto: true,
    },
  ]);
});

test("a folder for sockets that others may enter, that is a link or no folder, or is too deep, is named by its setting", async () => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, "open"), { mode: 0o755 });
  await symlink(join(folder.path, "open"), join(folder.path, "link"));
  await writeFile(join(folder.path, "file"), "");
  const remedies = async (path: string) =>
    bad(await check(folder.path, { RUMI_EGRESS_SOCK_DIR: join(folder.path, path) })).map(({ id, remedy }) => [id, remedy]);
  expect(await remedies("open")).toEqual([["modes", 'chmod 700 "$RUMI_EGRESS_SOCK_DIR"']]);
  expect(await remedies("link")).toEqual([["modes", "unset RUMI_EGRESS_SOCK_DIR"]]);
  expect(await remedies("file")).toEqual([["modes", "unset RUMI_EGRESS_SOCK_DIR"]]);
  expect(await remedies("c")).toEqual([["modes", "unset RUMI_EGRESS_SOCK_DIR"]]);
  expect(await remedies("d".repeat(90))).toEqual([
    ["socket_round_trip", "set RUMI_EGRESS_SOCK_DIR to a short path of this user, mode 0700"],
  ]);
});

test("sockets wider than their group are warned about", async () => {
  await using folder = await temporaryFolder();
  const gid = String(process.getgid?.() ?? 0);
  const findings = await check(folder.path, { RUMI_EGRESS_SOCKET_GID: gid, RUMI_EGRESS_SOCKET_MODE: "0666" });
  expect(bad(findings).map(({ status, remedy }) => [status, remedy])).toEqual([["warn", "unset RUMI_EGRESS_SOCKET_MODE"]]);
  expect(findings.some(({ message }) => message.includes(`for group ${gid}`))).toBe(true);
});

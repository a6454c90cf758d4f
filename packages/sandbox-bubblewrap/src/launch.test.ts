import { readFileSync } from "node:fs";
import type { Digest, PackId } from "@rumi/core";
import type { InstanceSpec } from "@rumi/sandbox";
import { expect, test } from "vitest";
import { createLaunch } from "./launch.ts";
import type { LaunchHost, LaunchPlace } from "./launch.ts";

const SPEC: InstanceSpec = {
  instance_id: "0123456789abcdef0123456789abcdef",
  purpose: "block",
  pack_id: "my_pack" as PackId,
  digest: `sha256:${"a".repeat(64)}` as Digest,
  runtime: "python",
  authority: "my_pack",
  mounts: [
    { source: "/home/user_data/packs/my_pack/snapshots/aa", target: "/pack", read_only: true },
    { source: "/home/user_data/packs/my_pack/data", target: "/data", read_only: false },
  ],
  sockets: { capability: "/sockets/c", egress: "/sockets/e" },
  limits: { memory_bytes: 268_435_456, cpus: 1, pids: 128, tmp_bytes: 67_108_864 },
  env: {},
  reuse: false,
  slots: 4,
};

const PLACE: LaunchPlace = {
  stage: "/sockets/stage",
  root: "/home/user_data/runtime/roots/aa",
  runnerRoot: "/runner/programs",
  runnerSockets: "/sockets/r",
  socketGids: [],
  cgroup: {
    joinFiles: ["/sys/fs/cgroup/memory/rumi/0123/cgroup.procs"],
    prefix: [],
    oomCounter: { source: "/sys/fs/cgroup/memory/rumi/0123/memory.oom_control", target: "/sys/fs/cgroup/memory/memory.oom_control" },
  },
  fileSources: new Set(),
};

const HOST: LaunchHost = { bwrap: "bwrap", isRoot: true, canDisableUserns: true, masked: ["kcore", "keys", "acpi"] };

const words = (spec: InstanceSpec, place: LaunchPlace = PLACE, host: LaunchHost = HOST): string[] => {
  const { file, args } = createLaunch(spec, place, host);
  return [file, ...args];
};
/** What follows `--`, the last time. */
const commandOf = (all: readonly string[]): readonly string[] => all.slice(all.lastIndexOf("--") + 1);

test("X10 the command for a Python instance equals the stored one", () => {
  const stored: unknown = JSON.parse(readFileSync(new URL("../test/stored/python.json", import.meta.url), "utf8"));
  expect(words(SPEC)).toEqual(stored);
});

test("X10 a Node instance differs from it in the command alone", () => {
  const python = words(SPEC);
  const node = words({ ...SPEC, runtime: "node" });
  expect(commandOf(node)).toEqual(["/usr/bin/node", "/runner/node/main.mjs", "/run/rumi/runner/runner.sock"]);
  expect(node.slice(0, node.lastIndexOf("--"))).toEqual(python.slice(0, python.lastIndexOf("--")));
});

test("a daemon that is not root starts from a user namespace of its own and needs no setpriv", () => {
  const all = words(SPEC, PLACE, { ...HOST, isRoot: false });
  expect(all.slice(0, 3)).toEqual(["unshare", "--user", "--map-root-user"]);
  expect(all).not.toContain("setpriv");
  expect(all).toContain("--unshare-user");
});

test("a group for sockets is the only one besides nobody's own", () => {
  expect(words(SPEC)).toContain("--clear-groups");
  const all = words(SPEC, { ...PLACE, socketGids: [4711] });
  expect(all[all.indexOf("--groups") + 1]).toBe("4711");
  expect(all).not.toContain("--clear-groups");
});

test("a folder is shown read-only unless the spec says otherwise, a file is mounted on a file", () => {
  const file = "/home/user_data/one.txt";
  const all = words(
    { ...SPEC, mounts: [...SPEC.mounts, { source: file, target: "/mnt/one", read_only: true }] },
    { ...PLACE, fileSources: new Set([file]) },
  ).join(" ");
  expect(all).toContain(`${file} /sockets/stage/m2 none bind 0 0`);
  expect(all).toMatch(/ m3 m4 m5 m6 m2 counter /u);
  expect(all).toContain("--ro-bind /tmp/m0 /pack --bind /tmp/m1 /data --ro-bind /tmp/m2 /mnt/one");
});

test("an environment name of the sandbox itself cannot be displaced", () => {
  expect(() => words({ ...SPEC, env: { PATH: "/evil" } })).toThrow(/refused/u);
  expect(words({ ...SPEC, env: { http_proxy: "http://127.0.0.1:3128" } })).toContain("http_proxy");
});

test("no argument of the script is ever read as a part of it", () => {
  const all = words({ ...SPEC, mounts: [{ source: "/home/$(touch x); `y`", target: "/pack", read_only: true }] });
  const table = all.filter((word) => word.includes("touch"));
  expect(table).toHaveLength(1);
  expect(table[0]).toContain("/home/$(touch\\040x);\\040`y` /sockets/stage/m0 none bind 0 0\n");
});

test("a name with a line's end or a sign of the table in it stays one word of one line", () => {
  const all = words({ ...SPEC, mounts: [{ source: "/home/a\n/etc /b none bind 0 0\\#\tc", target: "/pack", read_only: true }] });
  const table = all.find((word) => word.includes("/sockets/stage/m0")) ?? "";
  expect(table).toContain("/home/a\\012/etc\\040/b\\040none\\040bind\\0400\\0400\\134\\043\\011c /sockets/stage/m0 none bind 0 0\n");
});

test("a group that only its process knows is found by it, and its words come first", () => {
  const cgroup = { joinFiles: [], prefix: ["systemd-run", "--"], oomCounter: { source: "self", target: "/sys/fs/cgroup/memory.events" } };
  const all = words(SPEC, { ...PLACE, cgroup });
  expect(all.slice(0, 3)).toEqual(["systemd-run", "--", "unshare"]);
  expect(all.slice(all.indexOf("self"), all.indexOf("self") + 2)).toEqual(["self", "--"]);
  expect(all.join(" ")).not.toContain("self /sockets/stage/counter");
});

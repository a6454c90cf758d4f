import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { buildProfile, profileText } from "./profile.ts";

const list = readFileSync(new URL("syscalls.txt", import.meta.url), "utf8");
const stored = readFileSync(new URL("../../packages/sandbox-docker/src/seccomp.json", import.meta.url), "utf8");

test("the shipped seccomp profile is what the list describes", () => {
  expect(stored).toBe(profileText(list));
});

test("everything that is not named fails with EPERM, and clone3 with ENOSYS so that libc falls back", () => {
  const profile = buildProfile(list);
  expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
  expect(profile.defaultErrnoRet).toBe(1);
  expect(profile.syscalls.find((rule) => rule.names.includes("clone3"))).toEqual({
    names: ["clone3"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: 38,
  });
});

test("no rule allows a call that reaches past the walls", () => {
  const open = new Set(
    buildProfile(list)
      .syscalls.filter((r) => r.action === "SCMP_ACT_ALLOW")
      .flatMap((r) => r.names),
  );
  for (const name of [
    "io_uring_setup",
    "ptrace",
    "process_vm_readv",
    "pidfd_getfd",
    "bpf",
    "keyctl",
    "userfaultfd",
    "mount",
    "unshare",
    "setns",
    "perf_event_open",
    "memfd_create",
    "execveat",
  ]) {
    expect(open.has(name), name).toBe(false);
  }
});

test("sockets are Unix, IPv4, IPv6 and netlink for routes, and a clone makes no namespace", () => {
  const rules = buildProfile(list).syscalls;
  const families = rules
    .filter((r) => r.names.includes("socket"))
    .map((r) => r.args?.map((a) => `${a.op}:${String(a.index)}:${String(a.value)}`));
  expect(families).toEqual([["SCMP_CMP_EQ:0:1"], ["SCMP_CMP_EQ:0:2"], ["SCMP_CMP_EQ:0:10"], ["SCMP_CMP_EQ:0:16", "SCMP_CMP_EQ:2:0"]]);
  expect(rules.filter((r) => r.names.includes("clone")).map((r) => r.args)).toEqual([
    [{ index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
  ]);
});

test.each([
  ["a double", "read\nread", /named twice/u],
  ["a condition it cannot read", "socket if arg9 == 1", /cannot be read/u],
  ["an unknown error", "clone3 fails EWHAT", /not known/u],
  ["a name both always and conditionally allowed", "socket\nsocket if arg0 == 1", /both always/u],
  ["a broken never", "bpf\nnever bpf", /never be allowed/u],
])("a list with %s is refused", (_name, text, message) => {
  expect(() => buildProfile(text)).toThrow(message);
});

import type { SandboxProbe } from "@rumi/sandbox";
import { expect, test } from "vitest";
import type { HostFacts } from "./host-facts.ts";
import { describeBubblewrap } from "./probe.ts";
import type { ProbeFacts } from "./probe.ts";

const HOST: HostFacts = {
  version: "0.8.0",
  tooOld: false,
  host: { bwrap: "bwrap", isRoot: true, canDisableUserns: true, masked: [] },
  forbids: [],
};
const GOOD: ProbeFacts = {
  host: HOST,
  trial: null,
  cgroups: { name: "cgroup v2", missing: [] },
  hasFilter: true,
  runnerReadable: true,
  runtimes: {
    python: { ref: "/usr/bin/python3", image_id: null, present: true },
    node: { ref: "/usr/bin/node", image_id: null, present: true },
  },
};
const probe = (over: Partial<ProbeFacts>): SandboxProbe => describeBubblewrap({ ...GOOD, ...over });

test("a machine with everything is available, without weakness, warning or remedy", () => {
  const answer = probe({});
  expect(answer).toMatchObject({ available: true, adapter: "bubblewrap", isolation: "container", weaknesses: [], warnings: [] });
  expect(answer.engine).toEqual({ version: "0.8.0", api: "cgroup v2" });
  expect(answer.remedy).toBeUndefined();
});

test("without bubblewrap the remedy installs it", () => {
  const answer = probe({ host: { ...HOST, version: null }, trial: "" });
  expect(answer).toMatchObject({ available: false, weaknesses: [] });
  expect(answer.remedy).toContain("tools/bubblewrap-up.sh");
});

test("a bubblewrap that is too old is told with the oldest that serves", () => {
  const answer = probe({ host: { ...HOST, version: "0.4.0", tooOld: true }, trial: "unknown option --clearenv" });
  expect(answer).toMatchObject({ available: false, warnings: ["bubblewrap 0.4.0 is too old"], remedy: "install bubblewrap 0.5 or later" });
});

test.each([
  ["userns_clone", "kernel.unprivileged_userns_clone=1"],
  ["apparmor", "kernel.apparmor_restrict_unprivileged_userns=0"],
  ["max_user_namespaces", "user.max_user_namespaces"],
] as const)("where the trial fails and the kernel says %s, the remedy names that setting", (setting, words) => {
  const answer = probe({ host: { ...HOST, forbids: [setting] }, trial: "exit code 1" });
  expect(answer.available).toBe(false);
  expect(answer.remedy).toContain(words);
  expect(answer.warnings).toEqual(["bubblewrap cannot make a sandbox on this machine"]);
});

test("a setting that does not keep the trial from passing is no hindrance", () => {
  expect(probe({ host: { ...HOST, forbids: ["apparmor"] } })).toMatchObject({ available: true, warnings: [] });
});

test("X85 memory or pids that nobody limits are weaknesses, with a remedy", () => {
  const answer = probe({ cgroups: { name: "cgroup v1", missing: ["memory", "pids", "cpu", "swap"] } });
  expect(answer.weaknesses.map((weakness) => weakness.id)).toEqual(["memory", "pids"]);
  expect(answer.remedy).toContain("systemd-run");
  expect(answer.warnings).toEqual(["processor time is not limited"]);
});

test("swap and processor time that nobody limits are warnings, a missing filter is a weakness", () => {
  expect(probe({ cgroups: { name: "cgroup v1", missing: ["swap", "cpu"] } }).warnings).toHaveLength(2);
  expect(probe({ hasFilter: false }).weaknesses.map((weakness) => weakness.id)).toEqual(["seccomp"]);
  expect(probe({ runnerReadable: false }).warnings).toHaveLength(1);
});

test("a missing Python is told with what to install", () => {
  const runtimes = { ...GOOD.runtimes, python: { ...GOOD.runtimes.python, present: false } };
  expect(probe({ runtimes }).remedy).toContain("python3");
});

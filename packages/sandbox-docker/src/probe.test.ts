import { expect, test } from "vitest";
import { negotiate } from "./engine.ts";
import type { EngineFacts } from "./engine.ts";
import { describeEngine, describeNoEngine } from "./probe.ts";
import type { ImageFacts } from "./probe.ts";

const FACTS: EngineFacts = {
  version: "28.0.0",
  api: "1.47",
  runc: "1.2.3",
  operatingSystem: "Linux",
  seccomp: true,
  memoryLimit: true,
  swapLimit: true,
  pidsLimit: true,
  defaultRuntime: "runc",
  runtimes: ["runc"],
};
const image = (over: Partial<ImageFacts> = {}): ImageFacts => ({
  ref: "rumi-base-python:dev",
  imageId: "sha256:a",
  present: true,
  moved: false,
  pinLost: false,
  ...over,
});
const SETTINGS = { engineSocket: "/var/run/docker.sock", ociRuntime: undefined, runnerReadable: true };

test("an engine with every wall is available, without weakness or warning", () => {
  expect(describeEngine(FACTS, { python: image(), node: image() }, SETTINGS)).toMatchObject({
    available: true,
    weaknesses: [],
    warnings: [],
    oci_runtime: "runc",
  });
});

test.each([
  [{ seccomp: false }, "seccomp"],
  [{ memoryLimit: false }, "memory"],
  [{ pidsLimit: false }, "pids"],
] as const)("X85 an engine without %j is weak", (over, id) => {
  expect(describeEngine({ ...FACTS, ...over }, { python: image(), node: image() }, SETTINGS).weaknesses).toMatchObject([{ id }]);
});

test("an engine on another machine is weak", () => {
  const probe = describeEngine(FACTS, { python: image(), node: image() }, { ...SETTINGS, engineSocket: "tcp://10.0.0.1:2375" });
  expect(probe.weaknesses).toMatchObject([{ id: "remote_engine" }]);
});

test("no swap limit and an old runc only warn", () => {
  const probe = describeEngine({ ...FACTS, swapLimit: false, runc: "1.1.5+ds1" }, { python: image(), node: image() }, SETTINGS);
  expect(probe.weaknesses).toEqual([]);
  expect(probe.warnings).toHaveLength(2);
});

test.each(["runsc", "runsc-kvm"])("that %s leaves the filter of system calls out is told", (ociRuntime) => {
  const facts = { ...FACTS, runtimes: ["runc", ociRuntime] };
  const images = { python: image(), node: image() };
  const told = [expect.stringContaining("filter of system calls")];
  expect(describeEngine(facts, images, { ...SETTINGS, ociRuntime })).toMatchObject({ available: true, weaknesses: [], warnings: told });
  expect(describeEngine({ ...facts, defaultRuntime: ociRuntime }, images, SETTINGS).warnings).toMatchObject(told);
});

test("runner files that the user inside cannot read are told", () => {
  const probe = describeEngine(FACTS, { python: image(), node: image() }, { ...SETTINGS, runnerReadable: false });
  expect(probe.warnings).toMatchObject([expect.stringContaining("chmod")]);
});

test("X9 a missing image is told with the command that makes it", () => {
  const own = describeEngine(FACTS, { python: image({ present: false, imageId: null }), node: image() }, SETTINGS);
  expect(own).toMatchObject({ available: true, runtimes: { python: { present: false } }, remedy: "tools/engine-up.sh" });
  const foreign = describeEngine(FACTS, { python: image({ present: false, ref: "python:3.12" }), node: image() }, SETTINGS);
  expect(foreign.remedy).toBe("docker pull python:3.12");
});

test("X87 a moved name warns, a pinned image that is gone is missing with its remedy", () => {
  expect(describeEngine(FACTS, { python: image({ moved: true }), node: image() }, SETTINGS).warnings).toHaveLength(1);
  const gone = describeEngine(FACTS, { python: image({ present: false, pinLost: true }), node: image() }, SETTINGS);
  expect(gone.remedy).toBe("rumi container pin rumi-base-python:dev");
});

test("a runtime the engine does not know makes it unavailable", () => {
  expect(describeEngine(FACTS, { python: image(), node: image() }, { ...SETTINGS, ociRuntime: "runsc" })).toMatchObject({
    available: false,
    oci_runtime: "runsc",
  });
});

test("no engine is an answer with a remedy, not an error", () => {
  expect(describeNoEngine({ python: "a", node: "b" }, "ENOENT")).toMatchObject({
    available: false,
    runtimes: { python: { ref: "a", present: false } },
    remedy: expect.stringContaining("engine-up.sh") as unknown,
  });
});

test("an engine whose socket this user may not open has a remedy of its own", () => {
  expect(describeNoEngine({ python: "a", node: "b" }, "EACCES").remedy).toContain("usermod");
});

test.each([
  ["1.41", "1.12", "1.41"],
  ["1.47", "1.24", "1.47"],
  ["1.52", "1.44", "1.47"],
  ["2.1", "1.60", "1.60"],
])("an engine of API %s (from %s) is asked in %s", (api, min, wanted) => {
  expect(negotiate(api, min)).toBe(wanted);
});

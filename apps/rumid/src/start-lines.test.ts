import type { SandboxProbe } from "@rumi/sandbox";
import { expect, test } from "vitest";
import { exampleLines, permissiveBanner, startLines } from "./start-lines.ts";
import type { StartFacts } from "./start-lines.ts";

const PROBE: SandboxProbe = {
  available: true,
  adapter: "docker",
  isolation: "container",
  engine: { version: "20.10", api: "1.41" },
  oci_runtime: "runc",
  transport: "socket",
  runtimes: { python: { ref: "py", image_id: "sha256:1", present: true }, node: { ref: "node", image_id: "sha256:2", present: true } },
  weaknesses: [],
  warnings: [],
};
const FACTS: StartFacts = {
  version: "0.1.0",
  url: "http://127.0.0.1:8765",
  home: "/home/you/rumi",
  mode: "strict",
  probe: PROBE,
  setup: null,
  tokenPath: "user_data/settings/api_token",
  firstToken: false,
  approved: 2,
  waiting: [],
  faulty: 0,
  locked: null,
  warnings: [],
  exampleFlow: null,
};
const told = (over: Partial<StartFacts>): string => startLines({ ...FACTS, ...over }).join("\n");

test("with an engine the lines say what walls there are, where the token is, how many packs wait, and what to type next", () => {
  const lines = startLines(FACTS);
  expect(lines.length).toBeLessThan(8);
  expect(lines.join("\n")).toMatch(/isolation +strict: one sandbox per pack, no network, read-only \(docker 20\.10, runc\)/u);
  expect(told({})).toMatch(/token +user_data\/settings\/api_token/u);
  expect(told({ waiting: ["a", "b"] })).toMatch(/2 approved, 2 wait for approval: a, b\n.*next +npm run rumi -- pack review a/u);
  expect(told({ faulty: 1 })).toMatch(/none waits for approval\n +1 cannot be approved: npm run rumi -- pack validate\n/u);
  expect(told({ exampleFlow: "hello" })).toMatch(/next +npm run rumi -- flow run hello/u);
});

test("without an engine in strict: the refusal, exactly what to do, and the offer of permissive", () => {
  const text = told({ probe: { ...PROBE, available: false, remedy: "start a Docker engine" } });
  expect(text).toContain("NONE: Docker is required but not available. Third-party code is refused.");
  expect(text).toContain("to allow it: start a Docker engine");
  expect(text).toContain("npm start -- --permissive");
});

test("with bubblewrap the lines name it and its version", () => {
  const { oci_runtime: _, ...rest } = PROBE;
  const probe: SandboxProbe = { ...rest, adapter: "bubblewrap", engine: { version: "0.8.0", api: "cgroup v2" } };
  expect(told({ probe })).toMatch(/isolation +strict: one sandbox per pack, no network, read-only \(bubblewrap 0\.8\.0\)/u);
});

test("where third-party code is refused the next command is the one that mends it, not a run that would be refused", () => {
  const none: SandboxProbe = { ...PROBE, available: false, remedy: "one way, or another" };
  const text = told({ probe: none, setup: "sudo tools/bubblewrap-up.sh", exampleFlow: "hello" });
  expect(text).toMatch(/next +sudo tools\/bubblewrap-up\.sh, then npm start again$/u);
  const weak: SandboxProbe = { ...PROBE, weaknesses: [{ id: "memory", message: "no limit" }], remedy: "start it as root" };
  expect(told({ probe: weak, exampleFlow: "hello" })).toMatch(/next +start it as root$/u);
  expect(told({ probe: weak, mode: "permissive", exampleFlow: "hello" })).toMatch(/next +npm run rumi -- flow run hello/u);
});

test("on the bare host the lines and the banner say that there are no walls", () => {
  expect(told({ mode: "permissive", probe: { ...PROBE, adapter: "host", isolation: "none" } })).toContain(
    "NONE: blocks run on this machine, without walls",
  );
  expect(permissiveBanner(false, false).join("\n")).toContain("no network, file or memory walls");
  expect(permissiveBanner(false, true)[0]).toContain("\u001B[31m");
  expect(permissiveBanner(true, false).join("\n")).toContain("still used");
});

test("a missing image and a locked home are told with their commands", () => {
  const probe = {
    ...PROBE,
    remedy: "tools/engine-up.sh",
    runtimes: { ...PROBE.runtimes, node: { ref: "gone", image_id: null, present: false } },
  };
  expect(told({ probe })).toContain('no node image "gone": tools/engine-up.sh');
  expect(told({ locked: "the key is gone" })).toMatch(/LOCKED +the key is gone[^]*next +npm run rumi -- doctor/u);
});

test("the example's lines show its result, or why there is none", () => {
  const run = { state: "completed", result: { a: 1 }, code: null, reason: null, seconds: 0.1, mode: "container" };
  expect(exampleLines({ pack_id: "p", flow_id: "f", refused: null, run }).join("\n")).toContain('{"a":1}  (container, 100 ms)');
  expect(exampleLines({ pack_id: "p", flow_id: "f", refused: "other bytes", run: null }).join("\n")).toContain(
    "waits for your approval: other bytes",
  );
  expect(
    exampleLines({
      pack_id: "p",
      flow_id: "f",
      refused: null,
      run: { ...run, state: "failed", code: "sandbox.docker_required", reason: "no" },
    }).join("\n"),
  ).toContain("sandbox.docker_required: no");
});

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { runnerRoot } from "@rumi/runner";
import { FORWARD_PROXY_ENV } from "@rumi/sandbox";
import { contractFile, inScene, sandboxContract } from "@rumi/sandbox/testing";
import type { SandboxHarness } from "@rumi/sandbox/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { HOST_WARNING, HostSandbox } from "./host-sandbox.ts";

async function hostHarness(): Promise<SandboxHarness & { readonly sandbox: HostSandbox }> {
  const folder = await temporaryFolder("rumi-hs-");
  const [socketBase, packs] = [join(folder.path, "s"), join(folder.path, "packs")];
  for (const path of [socketBase, packs]) await mkdir(path, { mode: 0o700 });
  const sandbox = new HostSandbox(
    {
      installation: "0123456789",
      socketBase,
      runnerRoot: runnerRoot(),
      userData: join(folder.path, "user_data"),
      clock: systemClock,
      logger: silentLogger,
    },
    { mode: "permissive" },
  );
  return {
    sandbox,
    folder: packs,
    leftovers: async () => (await sandbox.processes()).map((pid) => `process ${String(pid)}`),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

sandboxContract("HostSandbox", hostHarness);

test("in strict mode it cannot even be made", () => {
  const deps = { installation: "1", socketBase: "/s", runnerRoot: "/r", userData: "/u", clock: systemClock, logger: silentLogger };
  expect(() => new HostSandbox(deps, { mode: "strict" })).toThrow(expect.objectContaining({ code: "sandbox.docker_required" }) as Error);
});

test("X51 the missing walls are told by the probe and in every good result", async () => {
  await inScene(hostHarness, async (s) => {
    expect(await s.sandbox.probe()).toMatchObject({ adapter: "host", isolation: "none", warnings: [HOST_WARNING] });
    const instance = await s.start("python");
    expect(await s.run(instance, contractFile("echo", "python"))).toMatchObject({ kind: "ok", warnings: [HOST_WARNING] });
  });
});

const SHOW = {
  "blocks/show.py": "import os\ndef run(input, context):\n    return dict(os.environ)\n",
  "blocks/show.mjs": "export const run = () => ({ ...process.env });\n",
};

test.each([
  ["python", "blocks/show.py"],
  ["node", "blocks/show.mjs"],
] as const)("X52 the environment of a %s block holds nothing of the daemon's", async (runtime, file) => {
  const secret = "RUMI_TEST_SECRET_OF_THE_DAEMON";
  process.env[secret] = "x";
  try {
    await inScene(hostHarness, async (s) => {
      const instance = await s.start(runtime, { mounts: await s.pack(SHOW) });
      const environment = (await s.value(instance, file)) as Record<string, string>;
      expect(
        Object.keys(environment)
          .filter((name) => name !== "PWD" && name !== "OLDPWD" && name !== "SHLVL" && name !== "_")
          .sort(),
      ).toEqual(["HOME", "LANG", "PATH", "PYTHONPATH", "RUMI_CAPABILITY_SOCKET", "RUMI_EGRESS_SOCKET", "RUMI_PACK_ID", "TMPDIR"]);
      expect(environment["HOME"]).not.toBe(process.env["HOME"]);
    });
  } finally {
    delete process.env[secret];
  }
});

test("the sockets are named by their path on the host, and there is no forward proxy", async () => {
  await inScene(hostHarness, async (s) => {
    const sockets = { capability: "/run/here/c", egress: "/run/here/e" };
    const instance = await s.start("python", { mounts: await s.pack(SHOW), sockets, env: { ...FORWARD_PROXY_ENV, OTHER: "1" } });
    const environment = (await s.value(instance, "blocks/show.py")) as Record<string, string>;
    expect(environment).toMatchObject({
      OTHER: "1",
      RUMI_CAPABILITY_SOCKET: "/run/here/c/capability.sock",
      RUMI_EGRESS_SOCKET: "/run/here/e/egress.sock",
    });
    expect(Object.keys(environment).filter((name) => /proxy/iu.test(name))).toEqual([]);
  });
});

test("a process that left its group is ended with its instance", async () => {
  await inScene(hostHarness, async (s) => {
    const files = {
      "blocks/daemon.py":
        "import os, time\ndef run(input, context):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            time.sleep(600)\n        os._exit(0)\n    return True\n",
    };
    const instance = await s.start("python", { mounts: await s.pack(files) });
    expect(await s.value(instance, "blocks/daemon.py")).toBe(true);
    await s.sandbox.stop(instance);
    expect(await s.harness.leftovers()).toEqual([]);
  });
});

test("a job is refused: there is no image on the host", async () => {
  await using harness = await hostHarness();
  await expect(harness.sandbox.job()).rejects.toMatchObject({ code: "sandbox.docker_required" });
});

import { join } from "node:path";
import { contractFile, inScene, SandboxScene, testId } from "@rumi/sandbox/testing";
import type { JobSpec } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { MemoryImagePins } from "../src/index.ts";
import { dockerHarness, ENGINE_SOCKET } from "./docker-harness.ts";
import type { DockerHarness } from "./docker-harness.ts";
import { EngineProxy } from "./engine-proxy.ts";

const ECHO = contractFile("echo", "python");
const HANGS = contractFile("hangs", "python");

/** A scene that also hands out its Docker harness. */
function inDocker(
  test: (scene: SandboxScene, harness: DockerHarness) => Promise<void>,
  options: Parameters<typeof dockerHarness>[0] = {},
): () => Promise<void> {
  return async () => {
    let harness: DockerHarness | undefined;
    await inScene(
      async () => (harness = await dockerHarness(options)),
      async (scene) => {
        if (harness !== undefined) await test(scene, harness);
      },
    );
  };
}

test(
  "X39 X44 the running container has every wall, no mount, variable or capability besides, and no log on disk",
  inDocker(async (s, { docker, sandbox }) => {
    const instance = await s.start("python");
    const [held] = await sandbox.list();
    const info = (await docker.getContainer(held?.id ?? "").inspect()) as unknown as {
      Config: { Env: string[]; User: string; Labels: Record<string, string> };
      HostConfig: Record<string, unknown>;
      Mounts: { Destination: string; RW: boolean; Type: string }[];
      LogPath: string;
      NetworkSettings: { Networks: Record<string, unknown>; Ports: Record<string, unknown> };
    };
    expect(info.Config.User).toBe("65534:65534");
    expect(
      info.Config.Env.filter((entry) => entry.includes("="))
        .map((entry) => entry.split("=")[0])
        .sort(),
    ).toEqual(["HOME", "LANG", "PATH", "PYTHONPATH", "RUMI_CAPABILITY_SOCKET", "RUMI_EGRESS_SOCKET", "RUMI_PACK_ID", "TMPDIR"]);
    expect(info.Mounts.map((mount) => `${mount.Destination} ${mount.RW ? "rw" : "ro"}`).sort()).toEqual([
      "/pack ro",
      "/run/rumi/runner ro",
      "/runner ro",
    ]);
    expect(info.HostConfig).toMatchObject({
      NetworkMode: "none",
      Privileged: false,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      CapAdd: null,
      Devices: null,
      Memory: 268_435_456,
      MemorySwap: 268_435_456,
      NanoCpus: 1_000_000_000,
      PidsLimit: 128,
      AutoRemove: false,
      IpcMode: "private",
      CgroupnsMode: "private",
      LogConfig: { Type: "none" },
      Binds: null,
      PortBindings: null,
      ExtraHosts: null,
      Dns: ["127.0.0.1"],
    });
    expect(info.HostConfig["MaskedPaths"]).toContain("/proc/kcore");
    expect(info.LogPath).toBe("");
    expect(Object.keys(info.NetworkSettings.Networks)).toEqual(["none"]);
    expect(info.Config.Labels).toMatchObject({
      "rumi.managed": "true",
      "rumi.instance": instance.spec.instance_id,
      "rumi.pack_id": "contract_pack",
    });
    expect(JSON.stringify(info)).not.toContain("docker.sock");
  }),
);

test(
  "X9 a missing image is told with its command, and nothing is pulled or left",
  inDocker(
    async (s) => {
      await expect(s.start("python")).rejects.toMatchObject({ code: "sandbox.image_missing", remedy: "docker pull rumi-not-there:never" });
    },
    { images: { python: "rumi-not-there:never", node: "rumi-base-node:dev" } },
  ),
);

test(
  "X23 a runner that is stopped and answers nothing is killed at the deadline",
  inDocker(async (s, { docker, sandbox }) => {
    const instance = await s.start("python");
    const [held] = await sandbox.list();
    const running = s.run(instance, HANGS, {}, { timeout_ms: 500 });
    await docker.getContainer(held?.id ?? "").pause();
    expect(await running).toMatchObject({ kind: "timeout" });
    expect(await instance.gone).toMatchObject({ kind: "instance_lost" });
    await sandbox.stop(instance);
    expect(await s.harness.leftovers()).toEqual([]);
  }),
);

test(
  "a container that dies is told at once, with its exit code, and removed",
  inDocker(async (s, { docker, sandbox }) => {
    const instance = await s.start("python");
    const [held] = await sandbox.list();
    const running = s.run(instance, HANGS);
    await docker.getContainer(held?.id ?? "").kill();
    expect(await running).toMatchObject({ kind: "crashed", message: expect.stringContaining("137") as unknown });
    expect(await instance.gone).toMatchObject({ kind: "crashed" });
    await sandbox.stop(instance);
    expect(await s.harness.leftovers()).toEqual([]);
  }),
);

test(
  "X46 a new daemon sweeps what its killed predecessor left, and nothing of another installation",
  inDocker(async (s, { again, sandbox }) => {
    const mine = await s.start("python");
    await using other = again({}, testId());
    const theirs = await new SandboxScene({ ...s.harness, sandbox: other }).start("python");
    await using successor = again();
    expect(await successor.sweep()).toBe(1);
    expect(await mine.gone).toMatchObject({ kind: "crashed" });
    await sandbox.stop(mine);
    expect(await s.harness.leftovers()).toEqual([]);
    expect(await other.list()).toMatchObject([{ instance_id: theirs.spec.instance_id, state: "running" }]);
    await other.stop(theirs);
    expect(await other.list()).toEqual([]);
  }),
);

test("X47 a lost engine ends calls as instance_lost and refuses new ones; back again, it serves and removes what was left", async () => {
  await using folder = await temporaryFolder("rumi-px-");
  await using proxy = new EngineProxy(join(folder.path, "engine.sock"), ENGINE_SOCKET);
  await proxy.open();
  await inDocker(
    async (s, { sandbox }) => {
      const instance = await s.start("python");
      const running = s.run(instance, HANGS);
      await proxy.cut();
      expect(await running).toMatchObject({ kind: "instance_lost" });
      expect(await instance.gone).toMatchObject({ kind: "instance_lost" });
      expect(await sandbox.probe({ fresh: true })).toMatchObject({ available: false });
      await expect(s.start("python")).rejects.toMatchObject({ code: "sandbox.docker_required", remedy: expect.any(String) as unknown });
      await proxy.open();
      expect(await sandbox.probe({ fresh: true })).toMatchObject({ available: true });
      const next = await s.start("python");
      expect(await s.value(next, ECHO, 1)).toEqual({ input: 1, run_id: null });
      await sandbox.sweep();
      expect(await sandbox.list()).toHaveLength(1);
    },
    { engineSocket: proxy.path },
  )();
});

test("X8 without an engine the probe answers with a remedy and a start is refused", async () => {
  await using folder = await temporaryFolder();
  await inDocker(
    async (s, { sandbox }) => {
      expect(await sandbox.probe()).toMatchObject({
        available: false,
        isolation: "container",
        remedy: expect.stringContaining("engine-up") as unknown,
      });
      await expect(s.start("python")).rejects.toMatchObject({ code: "sandbox.docker_required" });
    },
    { engineSocket: join(folder.path, "nobody.sock") },
  )();
});

test("the engine is the configured one, whatever DOCKER_HOST says", async () => {
  const before = process.env["DOCKER_HOST"];
  process.env["DOCKER_HOST"] = "tcp://192.0.2.1:2376";
  try {
    await inDocker(async (s) => {
      expect(await s.value(await s.start("python"), ECHO, 1)).toEqual({ input: 1, run_id: null });
    })();
  } finally {
    if (before === undefined) delete process.env["DOCKER_HOST"];
    else process.env["DOCKER_HOST"] = before;
  }
});

test(
  "X87 a name that moved changes nothing: the pinned image runs on and the probe warns",
  inDocker(async (s, harness) => {
    const repo = `rumi-test-${testId().slice(0, 8)}`;
    const tagOf = (image: string): Promise<unknown> => harness.docker.getImage(image).tag({ repo, tag: "x" });
    await tagOf("rumi-base-python:dev");
    try {
      const images = { python: `${repo}:x`, node: "rumi-base-node:dev" };
      await using sandbox = harness.again({ images, imagePins: new MemoryImagePins() });
      const moved = new SandboxScene({ ...s.harness, sandbox });
      await sandbox.stop(await moved.start("python"));
      await tagOf("rumi-base-node:dev");
      const probe = await sandbox.probe({ fresh: true });
      expect(probe.warnings.filter((warning) => warning.includes("names another image"))).toHaveLength(1);
      expect(await moved.value(await moved.start("python"), ECHO, 1)).toEqual({ input: 1, run_id: null });
    } finally {
      await harness.docker.getImage(`${repo}:x`).remove();
    }
  }),
);

test(
  "with a group for sockets, the runner reaches its socket through that group",
  inDocker(
    async (s) => {
      expect(await s.value(await s.start("python"), ECHO, 1)).toEqual({ input: 1, run_id: null });
    },
    { socketGid: 4711 },
  ),
);

test(
  "a runtime the engine does not know is refused before anything is made",
  inDocker(
    async (s) => {
      await expect(s.start("python")).rejects.toMatchObject({ code: "sandbox.docker_required" });
    },
    { ociRuntime: "no-such-runtime" },
  ),
);

test(
  "several starts at once each give an instance of their own",
  inDocker(async (s) => {
    const mounts = await s.pack();
    const instances = await Promise.all(Array.from({ length: 4 }, () => s.start("python", { mounts })));
    const values = await Promise.all(instances.map((instance, index) => s.value(instance, ECHO, index)));
    expect(values).toEqual(instances.map((_, input) => ({ input, run_id: null })));
  }),
);

function job(over: Partial<JobSpec>): JobSpec {
  return {
    job_id: testId(),
    image: "rumi-base-python:dev",
    argv: ["python3", "-c", "print('out')"],
    mounts: [],
    env: {},
    working_dir: "/",
    limits: { memory_bytes: 128 * 1024 * 1024, cpus: 1, pids: 32, tmp_bytes: 16 * 1024 * 1024 },
    timeout_ms: 20_000,
    max_output_bytes: 10_000,
    labels: {},
    ...over,
  };
}

test(
  "a job gives its exit code and both outputs, and leaves nothing",
  inDocker(async (s, { sandbox }) => {
    const script = "import sys, os; print('out'); print('err', file=sys.stderr); sys.exit(os.getuid() == 65534 and 7)";
    expect(await sandbox.job(job({ argv: ["python3", "-c", script] }))).toEqual({
      exit_code: 7,
      stdout: "out\n",
      stderr: "err\n",
      truncated: false,
      timed_out: false,
      oom_killed: false,
    });
    expect(await s.harness.leftovers()).toEqual([]);
  }),
);

test.each([
  ["over its output cap is cut", { argv: ["python3", "-c", "print('x' * 50000)"] }, { exit_code: 0, truncated: true }],
  [
    "over its deadline is killed",
    { argv: ["python3", "-c", "import time; time.sleep(60)"], timeout_ms: 300 },
    { timed_out: true, oom_killed: false },
  ],
  ["over its memory says so", { argv: ["python3", "-c", "x = bytearray(b'x' * (1 << 28))"] }, { exit_code: 137, oom_killed: true }],
  ["has no network", { argv: ["python3", "-c", "import socket; print(socket.if_nameindex())"] }, { stdout: "[(1, 'lo')]\n" }],
])("a job that %s", async (_name, over, expected) => {
  await inDocker(async (_s, { sandbox }) => {
    expect(await sandbox.job(job(over))).toMatchObject(expected);
  })();
});

test(
  "a job's missing image is told, and an aborted job is killed",
  inDocker(async (s, { sandbox }) => {
    await expect(sandbox.job(job({ image: "rumi-not-there:never" }))).rejects.toMatchObject({ code: "sandbox.image_missing" });
    const abort = new AbortController();
    const running = sandbox.job(job({ argv: ["python3", "-c", "import time; time.sleep(60)"] }), abort.signal);
    setTimeout(() => abort.abort(), 300);
    expect(await running).toMatchObject({ exit_code: 137 });
    expect(await s.harness.leftovers()).toEqual([]);
  }),
);

import { systemClock, systemRandom } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { DockerContainers } from "../src/index.ts";
import type { ContainerRequest } from "../src/index.ts";
import { dockerHarness, ENGINE_SOCKET } from "./docker-harness.ts";

const REQUEST: ContainerRequest = {
  principal: "alpha" as PackId,
  image: "rumi-base-python:dev",
  command: ["python3", "-c", "import time; time.sleep(60)"],
  env: { A: "b" },
  working_dir: "/tmp",
  memory_bytes: 67_108_864,
  cpus: 0.25,
  pids: 20,
  timeout_ms: 30_000,
  max_containers: 3,
};

test("X78 X39 a pack's container has the walls of an instance, its own limits and labels, and is not the sandbox's to sweep", async () => {
  await using harness = await dockerHarness();
  const { docker, installation, sandbox } = harness;
  {
    await using containers = new DockerContainers(
      { installation, clock: systemClock, random: systemRandom, logger: silentLogger },
      { engineSocket: ENGINE_SOCKET },
    );
    const started = await containers.start(REQUEST);
    if (!started.ok) throw new Error(started.reason);
    const info = await docker.getContainer(started.container_name).inspect();
    expect(info.HostConfig).toMatchObject({
      NetworkMode: "none",
      Privileged: false,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      CapAdd: null,
      Devices: null,
      Binds: null,
      Memory: 67_108_864,
      MemorySwap: 67_108_864,
      NanoCpus: 250_000_000,
      PidsLimit: 20,
      LogConfig: { Type: "none" },
      SecurityOpt: [expect.stringContaining("no-new-privileges"), expect.stringContaining("seccomp=")],
    });
    expect(info.Mounts).toEqual([]);
    expect(info.Config.User).toBe("65534:65534");
    expect(info.Config.WorkingDir).toBe("/tmp");
    expect(info.Config.Env.filter((entry) => entry.includes("=")).sort()).toEqual([
      "A=b",
      "HOME=/tmp",
      "LANG=C.UTF-8",
      "PATH=/usr/local/bin:/usr/bin:/bin",
      "TMPDIR=/tmp",
    ]);
    expect(info.Config.Labels).toMatchObject({
      "rumi.managed": "true",
      "rumi.principal": "alpha",
      "rumi.installation": installation,
      "rumi.type": "capability",
    });
    await sandbox.probe();
    expect(await sandbox.sweep()).toBe(0);
    expect(containers.list("alpha" as PackId)).toMatchObject([{ status: "running" }]);
  }
  expect(await harness.leftovers()).toEqual([]);
  await sandbox[Symbol.asyncDispose]();
});

test("an engine that does not answer is docker_required, and nothing throws", async () => {
  const containers = new DockerContainers(
    { installation: "x", clock: systemClock, random: systemRandom, logger: silentLogger },
    { engineSocket: "/nowhere/docker.sock" },
  );
  expect(await containers.run(REQUEST, new AbortController().signal)).toMatchObject({ ok: false, fault: "docker_required" });
  expect(await containers.start(REQUEST)).toMatchObject({ ok: false, fault: "docker_required" });
  expect(await containers.sweep()).toBe(0);
  expect(containers.list("alpha" as PackId)).toEqual([]);
});

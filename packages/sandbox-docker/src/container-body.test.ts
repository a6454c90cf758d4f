import { readFileSync } from "node:fs";
import type { Digest, PackId } from "@rumi/core";
import type { InstanceSpec, JobSpec } from "@rumi/sandbox";
import { expect, test } from "vitest";
import { createContainerBody, createJobBody } from "./container-body.ts";
import type { ContainerPlace } from "./container-body.ts";
import { containerName } from "./labels.ts";
import { SECCOMP_PROFILE } from "./seccomp.ts";

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

const PLACE: ContainerPlace = {
  installation: "1234",
  imageId: "sha256:image",
  imageEnvNames: ["PATH", "PYTHONUNBUFFERED"],
  runnerRoot: "/runner/programs",
  runnerSockets: "/sockets/r",
  socketGids: [4711],
};

function stored(name: string): unknown {
  const text = readFileSync(new URL(`../test/stored/${name}.json`, import.meta.url), "utf8");
  return JSON.parse(text.replace('"seccomp=<the shipped profile>"', JSON.stringify(`seccomp=${SECCOMP_PROFILE}`)));
}

test("X10 the create call for a Python instance equals the stored one", () => {
  expect(createContainerBody(SPEC, PLACE)).toEqual(stored("python"));
});

test("X10 the create call for a Node instance differs from it in the command and the label alone", () => {
  const python = createContainerBody(SPEC, PLACE);
  const node = createContainerBody({ ...SPEC, runtime: "node" }, PLACE);
  expect(node.Entrypoint).toEqual(["node", "/runner/node/main.mjs", "/run/rumi/runner/runner.sock"]);
  expect({ ...node, Entrypoint: python.Entrypoint, Labels: python.Labels }).toEqual(python);
  expect({ ...node.Labels, "rumi.runtime": "python" }).toEqual(python.Labels);
});

test("X10 an OCI runtime is passed on, and nothing else changes", () => {
  const plain = createContainerBody(SPEC, PLACE);
  const other = createContainerBody(SPEC, { ...PLACE, ociRuntime: "runsc" });
  expect(other.HostConfig["Runtime"]).toBe("runsc");
  expect({ ...other, HostConfig: { ...other.HostConfig, Runtime: undefined } }).toEqual({
    ...plain,
    HostConfig: { ...plain.HostConfig, Runtime: undefined },
  });
});

test.each(["PATH", "RUMI_PACK_ID", "LANG", "A=B", "", "LD PRELOAD"])("the extra environment name %j is refused", (name) => {
  expect(() => createContainerBody({ ...SPEC, env: { [name]: "x" } }, PLACE)).toThrow(/refused/u);
});

test("an extra environment name is added, and what the image would add is taken out", () => {
  const body = createContainerBody({ ...SPEC, env: { http_proxy: "http://127.0.0.1:3128" } }, PLACE);
  expect(body.Env).toContain("http_proxy=http://127.0.0.1:3128");
  expect(body.Env).toContain("PYTHONUNBUFFERED");
});

test("a job has the same walls, its own command and no runner", () => {
  const job: JobSpec = {
    job_id: "fedcba9876543210fedcba9876543210",
    image: "builder",
    argv: ["true"],
    mounts: [],
    env: { A: "b" },
    working_dir: "/work",
    limits: SPEC.limits,
    timeout_ms: 1000,
    max_output_bytes: 1000,
    labels: { "rumi.principal": "my_pack", "rumi.managed": "no" },
  };
  const body = createJobBody(job, { ...PLACE });
  const instance = createContainerBody(SPEC, PLACE);
  expect({ ...body.HostConfig, Mounts: null }).toEqual({ ...instance.HostConfig, Mounts: null });
  expect(body.HostConfig["Mounts"]).toEqual([]);
  expect(body).toMatchObject({ Entrypoint: ["true"], WorkingDir: "/work", User: "65534:65534" });
  expect(body.Labels).toMatchObject({
    "rumi.managed": "true",
    "rumi.principal": "my_pack",
    "rumi.type": "job",
    "rumi.installation": "1234",
  });
});

test("a container's name holds its purpose, at most 40 characters of the pack and 12 of the id", () => {
  expect(containerName({ ...SPEC, pack_id: "p".repeat(64) as PackId })).toBe(`rumi-block-${"p".repeat(40)}-0123456789ab`);
});

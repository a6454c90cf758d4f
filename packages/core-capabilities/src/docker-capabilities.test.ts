import type { JsonObject } from "@rumi/core";
import { expect, test } from "vitest";
import { dockerCapabilities } from "./docker-capabilities.ts";
import type { ContainerAsk, ContainerHouse } from "./ports.ts";
import { ask } from "./testing/ask.ts";

const MIB = 1024 * 1024;
const GRANT = { allowed_images: ["alpine:*", "tool"] };

class House implements ContainerHouse {
  readonly asked: ContainerAsk[] = [];
  run(asked: ContainerAsk) {
    this.asked.push(asked);
    return Promise.resolve({ ok: true, container_name: "rumi-cap-0", exit_code: 0, stdout: "o", stderr: "" } as const);
  }
  start(asked: ContainerAsk) {
    this.asked.push(asked);
    return Promise.resolve({ ok: true, container_name: "rumi-cap-0" } as const);
  }
  exec() {
    return Promise.resolve({ ok: false, fault: "container_not_found", reason: "absent" } as const);
  }
  stop() {
    return Promise.resolve({ ok: false, fault: "container_not_found", reason: "absent" } as const);
  }
  logs() {
    return { ok: false, fault: "container_not_found", reason: "absent" } as const;
  }
  list() {
    return [];
  }
}

function use(house: ContainerHouse | null, id: string, args: JsonObject, grant: JsonObject = GRANT, timeoutMs = 30_000) {
  const capability = dockerCapabilities({ containers: house }).find((one) => one.permission_id === id);
  if (capability === undefined) throw new Error(id);
  return ask(capability, args, { grant, timeout_ms: timeoutMs });
}

const RUN = { image: "tool", command: ["true"] };

test("X78 what is asked for is held within the grant and the caps of the house", async () => {
  const house = new House();
  await use(
    house,
    "docker.run",
    { ...RUN, memory: "2g", cpus: 9, pids: 9_999, timeout: 9_999 },
    { ...GRANT, max_memory: "4g", max_cpus: 8, max_pids: 900, max_containers: 50, max_execution_time: 6_000 },
    1e9,
  );
  await use(house, "docker.run", RUN);
  await use(house, "docker.run", { ...RUN, memory: 1, timeout: 0.5, detach: true });
  expect(house.asked).toMatchObject([
    { memory_bytes: 1024 * MIB, cpus: 2, pids: 200, timeout_ms: 600_000, max_containers: 5 },
    { memory_bytes: 256 * MIB, cpus: 0.5, pids: 50, timeout_ms: 30_000, max_containers: 3, principal: "alpha", working_dir: "/" },
    { memory_bytes: 6 * MIB, timeout_ms: 500 },
  ]);
});

test("X78 names that steer programs or tools of the host are dropped from the environment", async () => {
  const house = new House();
  const env = { A: "1", RUMI_X: "x", DOCKER_HOST: "x", AWS_KEY: "x", LD_PRELOAD: "x", PATH: "x", HOME: "x", ld_preload: "x", PATHS: "2" };
  await use(house, "docker.run", { ...RUN, env });
  expect(house.asked[0]?.env).toEqual({ A: "1", PATHS: "2" });
});

test.each<[string, JsonObject]>([
  ["a command as text", { command: "rm -rf /" }],
  ["no command", { command: [] }],
  ["an option instead of a program", { command: ["-v", "/:/host"] }],
  ["an option instead of an image", { image: "-v" }],
  ["an image that leads elsewhere in the engine", { image: "a/../../containers/x" }],
  ["an image with an empty part", { image: "a//b" }],
  ["volumes", { volumes: ["/:/host"] }],
  ["privileged", { privileged: true }],
  ["a network", { network: "host" }],
  ["a relative folder", { working_dir: "-x" }],
  ["a NUL", { command: ["a\0b"] }],
  ["an environment name with =", { env: { "A=B": "x" } }],
  ["a size that is none", { memory: "lots" }],
  ["a negative time", { timeout: -1 }],
])("T58 X78 %s is refused", async (_name, over) => {
  const house = new House();
  expect(await use(house, "docker.run", { ...RUN, ...over })).toMatchObject({ ok: false, error_type: "validation_error" });
  expect(house.asked).toEqual([]);
});

test("T58 an image that the grant does not name is not run; a grant without images allows nothing", async () => {
  const house = new House();
  expect(await use(house, "docker.run", { ...RUN, image: "toolx" })).toMatchObject({ error_type: "image_not_allowed" });
  expect(await use(house, "docker.run", { ...RUN, image: "alpine:3" })).toMatchObject({ ok: true });
  for (const id of ["docker.run", "docker.exec", "docker.stop", "docker.logs", "docker.list"]) {
    const args =
      id === "docker.run" ? RUN : id === "docker.list" ? {} : { container_name: "x", ...(id === "docker.exec" ? { command: ["a"] } : {}) };
    expect(await use(house, id, args, { allowed_images: [] })).toMatchObject({ error_type: "permission_denied" });
    expect(await use(null, id, args)).toMatchObject({ error_type: "docker_required", error: "Docker is required but not available" });
  }
});

test("T58 a container of another is absent", async () => {
  const house = new House();
  for (const [id, args] of [
    ["docker.exec", { container_name: "rumi-cap-1", command: ["a"] }],
    ["docker.stop", { container_name: "rumi-cap-1" }],
    ["docker.logs", { container_name: "rumi-cap-1" }],
  ] as const) {
    expect(await use(house, id, args)).toMatchObject({ error_type: "container_not_found", error: "Container not found" });
  }
});

import type { CapabilityOutcome } from "@rumi/capability";
import type { JsonObject, PackId } from "@rumi/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dockerCapabilities } from "../src/docker-capabilities.ts";
import { ask, caller } from "../src/testing/ask.ts";
import type { AskOptions } from "../src/testing/ask.ts";
import { containersOf, IMAGE } from "./docker-harness.ts";

const GRANT = { allowed_images: ["rumi-base-*"], max_execution_time: 60 };
let held: ReturnType<typeof containersOf>;

beforeEach(() => {
  held = containersOf();
});
afterEach(async () => {
  await held.containers[Symbol.asyncDispose]();
  expect(await held.again().sweep()).toBe(0);
});

function use(
  id: string,
  args: JsonObject,
  { principal = "alpha", ...options }: AskOptions & { principal?: string } = {},
): Promise<CapabilityOutcome> {
  const capability = dockerCapabilities({ containers: held.containers }).find((one) => one.permission_id === id);
  if (capability === undefined) throw new Error(id);
  return ask(capability, args, { grant: GRANT, caller: caller(principal), ...options });
}

const python = (code: string, more: JsonObject = {}): JsonObject => ({ image: IMAGE, command: ["python3", "-c", code], ...more });

function outputOf(outcome: CapabilityOutcome): JsonObject {
  if (!outcome.ok) throw new Error(JSON.stringify(outcome));
  return outcome.output;
}

async function started(principal = "alpha", code = "import time; print('up', flush=True); time.sleep(60)"): Promise<string> {
  return outputOf(await use("docker.run", python(code, { detach: true }), { principal }))["container_name"] as string;
}

test("X78 a command runs to its end behind every wall, and nothing of it is left", async () => {
  const code = `
import os, socket, sys, json
facts = {"uid": os.getuid(), "env": sorted(os.environ), "own": os.environ.get("OWN")}
try: open("/x", "w"); facts["root"] = "written"
except OSError as error: facts["root"] = error.errno
facts["links"] = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else ["lo"]
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
facts["caps"], facts["nnp"], facts["seccomp"] = [status[key].strip() for key in ("CapEff", "NoNewPrivs", "Seccomp")]
facts["memory"] = open("/sys/fs/cgroup/memory.max").read().strip() if os.path.exists("/sys/fs/cgroup/memory.max") else None
print(json.dumps(facts)); print("err", file=sys.stderr); sys.exit(3)`;
  const output = outputOf(await use("docker.run", python(code, { env: { OWN: "1", PATH: "/evil", LANG: "x" }, memory: "2g" })));
  expect(output).toMatchObject({
    exit_code: 3,
    stderr: "err\n",
    container_name: expect.stringMatching(/^rumi-cap-[0-9a-f]{12}$/u) as unknown,
  });
  const facts = JSON.parse(output["stdout"] as string) as JsonObject;
  expect(facts).toMatchObject({ uid: 65_534, own: "1", root: 30, links: ["lo"], caps: "0000000000000000", nnp: "1", seccomp: "2" });
  expect(facts["env"]).toEqual(["HOME", "LANG", "OWN", "PATH", "TMPDIR"]);
  expect([String(256 * 1024 * 1024), null]).toContain(facts["memory"]);
  expect(outputOf(await use("docker.list", {}))["containers"]).toEqual([]);
});

test("T58 X78 out of time: refused, and the container is gone", async () => {
  expect(await use("docker.run", python("import time; time.sleep(60)", { timeout: 0.5 }))).toMatchObject({ error_type: "timeout" });
  expect(outputOf(await use("docker.list", {}))["containers"]).toEqual([]);
  expect(await held.again().sweep()).toBe(0);
});

test("it is cancelled with its caller", async () => {
  const stop = new AbortController();
  const running = use("docker.run", python("import time; time.sleep(60)"), { signal: stop.signal });
  setTimeout(() => stop.abort(), 300);
  expect(await running).toMatchObject({ ok: false, error_type: "cancelled" });
  expect(await held.again().sweep()).toBe(0);
});

test("whenever it is cancelled while it is being made, nothing is left", async () => {
  for (const afterMs of [0, 2, 5, 10, 20, 40, 80, 160]) {
    const stop = new AbortController();
    const running = use("docker.run", python("import time; time.sleep(60)"), { signal: stop.signal });
    setTimeout(() => stop.abort(), afterMs);
    expect(await running).toMatchObject({ ok: false, error_type: "cancelled" });
    expect(await held.again().sweep()).toBe(0);
  }
});

test("what is disposed while containers are being made takes them with it", async () => {
  const making = Promise.all(
    ["alpha", "beta"].map((principal) => use("docker.run", python("import time; time.sleep(60)", { detach: true }), { principal })),
  );
  await held.containers[Symbol.asyncDispose]();
  expect(await held.again().sweep()).toBe(0);
  await making;
  expect(await held.again().sweep()).toBe(0);
});

test("an image that is not there is not pulled", async () => {
  expect(await use("docker.run", { image: "rumi-base-none:dev", command: ["true"] })).toMatchObject({ error_type: "image_missing" });
  expect(await use("docker.run", { image: IMAGE, command: ["/no/such/program"] })).toMatchObject({ error_type: "container_failed" });
  expect(await held.again().sweep()).toBe(0);
});

test("only the first MiB of each stream is kept", async () => {
  const output = outputOf(await use("docker.run", python("import sys; sys.stdout.write('a' + 'x' * 3_000_000); sys.stderr.write('e')")));
  expect(output["stdout"] as string).toHaveLength(1024 * 1024);
  expect(output).toMatchObject({ exit_code: 0, stderr: "e" });
});

test("T58 a started container answers exec, logs and list of its owner, and is absent for all others", async () => {
  const name = await started();
  const execute = { container_name: name, command: ["python3", "-c", "import os, sys; print(os.getuid()); sys.exit(4)"] };
  expect(outputOf(await use("docker.exec", execute))).toEqual({ exit_code: 4, stdout: "65534\n", stderr: "" });
  await expect.poll(async () => outputOf(await use("docker.logs", { container_name: name }))["stdout"]).toBe("up\n");
  expect(outputOf(await use("docker.logs", { container_name: name, since: "2999-01-01T00:00:00Z" }))).toEqual({ stdout: "", stderr: "" });
  expect(outputOf(await use("docker.list", {}))["containers"]).toMatchObject([{ container_name: name, status: "running", image: IMAGE }]);

  const foreign = await Promise.all([
    use("docker.exec", execute, { principal: "beta" }),
    use("docker.stop", { container_name: name }, { principal: "beta" }),
    use("docker.logs", { container_name: name }, { principal: "beta" }),
    use("docker.exec", { ...execute, container_name: "rumi-cap-000000000000" }),
  ]);
  for (const outcome of foreign) expect({ ...outcome, reason: "" }).toEqual({ ...foreign[3], reason: "" });
  expect(foreign[3]).toMatchObject({ error_type: "container_not_found" });
  expect(outputOf(await use("docker.list", {}, { principal: "beta" }))["containers"]).toEqual([]);

  expect(await use("docker.stop", { container_name: name })).toMatchObject({ ok: true });
  expect(await use("docker.logs", { container_name: name })).toMatchObject({ error_type: "container_not_found" });
  expect(await held.again().sweep()).toBe(0);
});

test("a command in a container that does not end takes the container with it", async () => {
  const name = await started();
  const hangs = { container_name: name, command: ["python3", "-c", "import time; time.sleep(60)"], timeout: 0.5 };
  expect(await use("docker.exec", hangs)).toMatchObject({ error_type: "timeout" });
  expect(outputOf(await use("docker.list", {}))["containers"]).toMatchObject([{ status: "exited" }]);
  expect(await held.again().sweep()).toBe(0);
});

test("what a started one printed outlives its end, its container does not", async () => {
  const name = await started("alpha", "for n in range(5): print(n)");
  await expect.poll(async () => outputOf(await use("docker.list", {}))["containers"]).toMatchObject([{ status: "exited", exit_code: 0 }]);
  expect(outputOf(await use("docker.logs", { container_name: name, tail: 2 }))).toEqual({ stdout: "3\n4\n", stderr: "" });
  expect(await held.again().sweep()).toBe(0);
});

test("no more run at once than the grant says, also when all are asked for together", async () => {
  const grant = { ...GRANT, max_containers: 2 };
  const all = await Promise.all(
    Array.from({ length: 4 }, () => use("docker.run", python("import time; time.sleep(60)", { detach: true }), { grant })),
  );
  expect(all.filter((outcome) => outcome.ok)).toHaveLength(2);
  expect(all.filter((outcome) => !outcome.ok)).toMatchObject([{ error_type: "container_limit" }, { error_type: "container_limit" }]);
  expect(await held.containers.removeOf("alpha" as PackId)).toBe(2);
  expect(await held.again().sweep()).toBe(0);
});

test("what a daemon that crashed left is swept, what lives is not", async () => {
  await started();
  await started("beta");
  expect(await held.containers.sweep()).toBe(0);
  expect(await held.again().sweep()).toBe(2);
  await expect.poll(async () => outputOf(await use("docker.list", {}))["containers"]).toMatchObject([{ status: "exited" }]);
});

import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { changed, DaemonProcess, launch, rumid, TestHome, until } from "./daemon-process.ts";

const NO_ENGINE = { RUMI_ENGINE_SOCKET: "/nonexistent/docker.sock" } as const;

const WITHOUT_CGROUPS = changed("mount -t tmpfs none /sys/fs/cgroup");
const WITHOUT_BUBBLEWRAP = changed('mount --bind /dev/null "$(command -v bwrap)"');

test("X84 auto without engine runs the example in bubblewrap, told at start, by the API and in the audit entry of the block", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, NO_ENGINE);
  expect(daemon.startedWith.data).toMatchObject({
    sandbox: { adapter: "bubblewrap", isolation: "container", weaknesses: [] },
    example: { run: { state: "completed", result: { greeting: { message: "Hello, World!" } }, mode: "container" } },
  });
  expect((await daemon.get("/api/docker/status")).body.data).toMatchObject({ available: true, adapter: "bubblewrap" });
  const { entries } = (await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=python_file_call")).body.data;
  expect(entries[0]).toMatchObject({ action: "block_call", execution_mode: "container", details: { adapter: "bubblewrap" } });
});

test("X84 docker without engine is refused, though bubblewrap is there", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, { ...NO_ENGINE, RUMI_SANDBOX: "docker" });
  expect((await daemon.run("hello", { name: "you" })).body.data.failed_steps).toMatchObject([
    { code: "sandbox.docker_required", remedy: expect.stringContaining("engine-up.sh") },
  ]);
});

test("bubblewrap is taken when asked for, whether or not an engine answers; the start lines and doctor name it", async () => {
  await using home = await TestHome.create();
  const { child, output, exit } = launch(home, ["start"], { RUMI_SANDBOX: "bubblewrap", RUMI_LOG_FORMAT: "text" });
  await until(() => output.stdout.includes("Hello, World!"), 60_000);
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
  expect(output.stdout).toMatch(/isolation +strict: one sandbox per pack, no network, read-only \(bubblewrap \d+\.\d+/u);
  expect(output.stdout).toContain(`"Hello, World!"}}  (container, `);
  const { code, stdout } = await rumid(home, ["doctor", "--json"], { RUMI_SANDBOX: "bubblewrap" });
  const { checks } = (JSON.parse(stdout) as { data: { checks: { id: string; status: string; message: string }[] } }).data;
  expect(checks.filter((check) => check.status === "fail")).toEqual([]);
  expect(code).toBe(0);
  expect(checks.find((check) => check.id === "sandbox")?.message).toContain("bubblewrap");
  expect(checks.find((check) => check.id === "socket_round_trip")).toMatchObject({ status: "ok" });
});

test("with neither, strict refuses and names both ways; the next command is the one that mends it", async () => {
  await using home = await TestHome.create();
  const { child, output, exit } = launch(home, ["start"], { ...NO_ENGINE, RUMI_LOG_FORMAT: "text" }, WITHOUT_BUBBLEWRAP);
  await until(() => output.stdout.includes("example "), 60_000);
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
  expect(output.stdout).toContain("NONE: Docker is required but not available. Third-party code is refused.");
  expect(output.stdout).toMatch(/to allow it: sudo tools\/engine-up\.sh .*, or sudo tools\/bubblewrap-up\.sh/u);
  expect(output.stdout).toMatch(/next +sudo tools\/bubblewrap-up\.sh/u);
  expect(output.stdout).toContain("sandbox.docker_required");
});

test("X85 where memory and processes cannot be limited, strict refuses with engine_weak and says what would help; permissive warns and runs behind the other walls", async () => {
  await using home = await TestHome.create();
  {
    await using strict = await DaemonProcess.start(home, { RUMI_SANDBOX: "bubblewrap" }, [], WITHOUT_CGROUPS);
    expect(strict.startedWith.data).toMatchObject({ sandbox: { weaknesses: [{ id: "memory" }, { id: "pids" }] } });
    expect((await strict.run("hello", { name: "you" })).body.data.failed_steps).toMatchObject([
      { code: "sandbox.engine_weak", remedy: expect.stringContaining("as root") },
    ]);
    expect((await strict.get("/health")).body.data).toEqual({ status: "degraded" });
    const runtime = await readdir(home.at("user_data/runtime")).catch(() => []);
    expect(runtime.filter((name) => name !== "roots")).toEqual([]);
  }
  await using permissive = await DaemonProcess.start(home, { RUMI_SANDBOX: "bubblewrap" }, ["--permissive"], WITHOUT_CGROUPS);
  expect((await permissive.run("hello", { name: "you" })).body.data).toMatchObject({ state: "completed", execution_mode: "container" });
});

test("X51 permissive without engine still uses bubblewrap", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, NO_ENGINE, ["--permissive"]);
  expect((await daemon.run("hello", { name: "you" })).body.data).toMatchObject({ execution_mode: "container", warnings: [] });
  expect(daemon.stderr).toContain("PERMISSIVE MODE");
});

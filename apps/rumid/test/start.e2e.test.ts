import { stat } from "node:fs/promises";
import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, launch, rumid, TestHome, until } from "./daemon-process.ts";
import { childrenOf, containersOf } from "./engine.ts";

test("H5 a fresh home: the bundled example is approved, runs in a container, and its result is told; the token is private and in no output", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home);
  expect(daemon.startedWith.data).toMatchObject({
    mode: "strict",
    firstToken: true,
    approved: 1,
    example: {
      pack_id: "my_pack",
      refused: null,
      run: { state: "completed", result: { greeting: { message: "Hello, World!" } }, mode: "container" },
    },
  });
  expect((await stat(home.at("user_data/settings/api_token"))).mode & 0o777).toBe(0o600);
  expect(daemon.token).toMatch(/^rumi_[A-Za-z0-9_-]{43}$/u);
  expect(daemon.stdout + daemon.stderr).not.toContain(daemon.token);
  expect(JSON.parse(await home.read("user_data/settings/daemon.json"))).toMatchObject({ pid: daemon.pid, url: daemon.url });

  const answer = await daemon.run("hello", { name: "you" });
  expect(answer).toMatchObject({
    status: 200,
    body: { data: { state: "completed", result: { greeting: { message: "Hello, you!" } }, execution_mode: "container", failed_steps: [] } },
  });
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=approval&action=bundled");
  expect(entries.body.data.entries).toMatchObject([{ owner_pack: "my_pack", success: true }]);
  const calls = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=python_file_call");
  expect(calls.body.data.entries[0]).toMatchObject({
    action: "block_call",
    success: true,
    execution_mode: "container",
    details: { adapter: "docker", runtime: "python" },
  });
});

test("a second start in the same home is no first one: no example run, same token, packs as they were", async () => {
  await using home = await TestHome.create();
  {
    await using first = await DaemonProcess.start(home);
    expect(first.startedWith.data["firstToken"]).toBe(true);
  }
  const token = await home.read("user_data/settings/api_token");
  await using second = await DaemonProcess.start(home);
  expect(second.startedWith.data).toMatchObject({ firstToken: false, approved: 1, example: null });
  expect(await home.read("user_data/settings/api_token")).toBe(token);
  expect((await second.run("hello", { name: "again" })).body.data.state).toBe("completed");
});

test("a home that decided anything before gets no bundled approval", async () => {
  await using home = await TestHome.create();
  await home.addPack("mine", { "blocks/echo.py": ECHO_BLOCK });
  await using daemon = await DaemonProcess.start(home);
  expect(daemon.startedWith.data).toMatchObject({ example: null, approved: 0, waiting: ["mine"] });
  expect(await daemon.status("mine")).toBe("installed");
});

test("the start lines are few and name what is in force, the token's place, and the next command", async () => {
  await using home = await TestHome.create();
  const { child, output, exit } = launch(home, ["start"], { RUMI_LOG_FORMAT: "text" });
  await until(() => output.stdout.includes("Hello, World!"), 60_000);
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
  const { stdout, stderr } = output;
  expect(stdout).toMatch(/is ready at http:\/\/127\.0\.0\.1:\d+/u);
  expect(stdout).toMatch(/isolation +strict: one sandbox per pack/u);
  expect(stdout).toMatch(/token .*user_data\/settings\/api_token/u);
  expect(stdout).toMatch(/next +npm run rumi -- /u);
  expect(stdout).toContain("Hello, World!");
  expect(stdout.split("\n").length).toBeLessThan(16);
  expect(stderr).toBe("");
});

test("X8 strict without an engine: the daemon runs, every block call is refused with docker_required and its remedy, no child process", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, { RUMI_ENGINE_SOCKET: "/nonexistent/docker.sock", RUMI_SANDBOX: "docker" });
  expect(daemon.startedWith.data).toMatchObject({
    sandbox: { available: false },
    example: { run: { state: "failed", code: "sandbox.docker_required", reason: "Docker is required but not available" } },
  });
  const answer = await daemon.run("hello", { name: "you" });
  expect(answer.body.data.failed_steps).toMatchObject([
    { code: "sandbox.docker_required", message: "Docker is required but not available", remedy: expect.stringContaining("engine") },
  ]);
  expect(answer.body.data.execution_mode).toBe("rejected");
  expect(await childrenOf(daemon.pid)).toEqual([]);
  expect((await daemon.get("/health")).body.data).toEqual({ status: "degraded" });
  expect((await daemon.get("/api/docker/status")).body.data).toMatchObject({ available: false, required: true });
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=security&action=sandbox.docker_required");
  expect(entries.body.data.entries.length).toBeGreaterThan(0);
});

test("X9 no image: image_missing with the command to get it, and no pull", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, { RUMI_PYTHON_IMAGE: "rumi-nowhere:absent" });
  const answer = await daemon.run("hello", { name: "you" });
  expect(answer.body.data.failed_steps).toMatchObject([
    { code: "sandbox.image_missing", message: expect.stringContaining("rumi-nowhere:absent"), remedy: expect.any(String) },
  ]);
});

test("X51 permissive with a strict sandbox uses it; the red banner stands all the same", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, {}, ["--permissive"]);
  expect((await daemon.run("hello", { name: "you" })).body.data).toMatchObject({ execution_mode: "container", warnings: [] });
  expect(daemon.stderr).toContain("PERMISSIVE MODE");
});

test("X51 permissive without a strict sandbox runs on the host, warned at start, in the result and in the audit entry", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home, {
    RUMI_ENGINE_SOCKET: "/nonexistent/docker.sock",
    RUMI_SANDBOX: "docker",
    RUMI_SECURITY_MODE: "permissive",
  });
  expect(daemon.stderr).toContain("NO SANDBOX ANSWERS");
  const answer = await daemon.run("hello", { name: "you" });
  expect(answer.body.data).toMatchObject({
    state: "completed",
    execution_mode: "host_permissive",
    warnings: [expect.stringContaining("on the host")],
  });
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=python_file_call");
  expect(entries.body.data.entries[0]).toMatchObject({ execution_mode: "host_permissive", details: { warning: "host_permissive" } });
});

test("X80 a bad setting stops the start and is named; an unknown one only warns", async () => {
  await using home = await TestHome.create();
  const bad = await rumid(home, ["start", "--json"], { RUMI_BLOCK_PIDS: "lots" });
  expect(bad.code).toBe(1);
  expect(bad.stderr).toContain("RUMI_BLOCK_PIDS");
  expect(JSON.parse(bad.stdout)).toMatchObject({ success: false, code: "rumid.invalid_setting" });
  await using daemon = await DaemonProcess.start(home, { RUMI_X: "1" });
  expect(daemon.startedWith.data["warnings"]).toEqual(["RUMI_X is not a setting of this daemon: it does nothing"]);
});

test("H64 a second daemon on the same home ends at once and names the first one's pid", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home);
  const second = await rumid(home, ["start"]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(String(daemon.pid));
  expect((await daemon.get("/health")).status).toBe(200);
});

test("a port that is taken ends the start with its number and what to set", async () => {
  await using home = await TestHome.create();
  await using daemon = await DaemonProcess.start(home);
  await using other = await TestHome.create();
  const second = await rumid(other, ["start"], { RUMI_API_PORT: new URL(daemon.url).port });
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(new URL(daemon.url).port);
  expect(second.stderr).toContain("RUMI_API_PORT");
  expect(second.stderr).toContain(`pid ${daemon.pid}`);
});

test("H63 SIGTERM during a run: no new run is taken, the run ends, no container is left, exit 0", async () => {
  await using home = await TestHome.create();
  await home.addFlow("slow", blockFlow("slow", "my_pack2"));
  await home.addPack("my_pack2", { "blocks/echo.py": ECHO_BLOCK });
  await using daemon = await DaemonProcess.start(home);
  await daemon.approve("my_pack2");
  const run = daemon.run("slow", { text: "late", sleep: 2 });
  await until(async () => (await containersOf(home)).length > 0);
  daemon.child.kill("SIGTERM");
  await until(async () => (await daemon.get("/health").catch(() => ({ status: 503 }))).status === 503);
  expect((await run).body.data).toMatchObject({ state: "completed", result: { answer: { said: "late" } } });
  expect(await daemon.stop()).toBe(0);
  expect(await containersOf(home)).toEqual([]);
  expect(await home.read("user_data/settings/daemon.json").catch(() => "gone")).toBe("gone");
  expect(JSON.parse((await rumid(home, ["audit", "verify", "--json"])).stdout)).toMatchObject({ success: true, data: { ok: true } });
});

test("H57 doctor: well with the engine; without it, and without the image, each finding has its own command", async () => {
  await using home = await TestHome.create();
  expect((await rumid(home, ["init", "--json"])).code).toBe(0);
  const checksOf = async (env: Record<string, string>) => {
    const { code, stdout } = await rumid(home, ["doctor", "--json"], env);
    const body = JSON.parse(stdout) as { data: { checks: { id: string; status: string; remedy: string | null; message: string }[] } };
    return { code, checks: body.data.checks };
  };
  const well = await checksOf({});
  expect(well.checks.filter((check) => check.status === "fail")).toEqual([]);
  expect(well.code).toBe(0);
  expect(well.checks.map((check) => check.id)).toEqual(
    expect.arrayContaining([
      "node",
      "disk",
      "lock",
      "port",
      "sandbox",
      "engine",
      "engine_limits",
      "seccomp",
      "images",
      "socket_round_trip",
      "orphans",
      "modes",
      "keys",
      "token",
      "audit_heads",
      "state_files",
      "modified_packs",
      "pending",
      "legacy_dirs",
      "clock",
      "lang",
    ]),
  );
  expect(well.checks.find((check) => check.id === "socket_round_trip")).toMatchObject({
    status: "ok",
    message: expect.stringContaining("ms"),
  });

  const engineGone = await checksOf({ RUMI_ENGINE_SOCKET: "/nonexistent/docker.sock", RUMI_SANDBOX: "docker" });
  expect(engineGone.code).toBe(1);
  expect(engineGone.checks.find((check) => check.id === "engine")).toMatchObject({
    status: "fail",
    remedy: expect.stringContaining("engine-up"),
  });
  const imageGone = await checksOf({ RUMI_NODE_IMAGE: "rumi-nowhere:absent" });
  expect(imageGone.checks.find((check) => check.status === "fail")).toMatchObject({ id: "images", remedy: expect.any(String) });
});

test("init lays a home out and changes nothing the second time", async () => {
  await using home = await TestHome.create();
  await rumid(home, ["init"]);
  const key = await home.read("user_data/permissions/.secret_key");
  const again = await rumid(home, ["init", "--json"]);
  expect(JSON.parse(again.stdout)).toMatchObject({ success: true, data: { key: "kept" } });
  expect(await home.read("user_data/permissions/.secret_key")).toBe(key);
});

test("words that are no verb end with 2 and the usage", async () => {
  await using home = await TestHome.create();
  const asked = await rumid(home, ["strat"]);
  expect(asked.code).toBe(2);
  expect(asked.stderr).toContain("usage: rumid");
});

test("T14 a home whose key is gone is locked: the API stands, no token holds, no pack runs, no new key is made", async () => {
  await using home = await TestHome.create();
  let token: string;
  {
    await using first = await DaemonProcess.start(home);
    token = first.token;
  }
  const { rm } = await import("node:fs/promises");
  await rm(home.at("user_data/permissions/.secret_key"));
  await using daemon = await DaemonProcess.start(home);
  expect(daemon.startedWith.data["locked"]).toEqual(expect.any(String));
  expect(daemon.token).toBe(token);
  expect(await daemon.get("/api/packs")).toMatchObject({
    status: 503,
    body: { code: "safe_files.locked", data: { remedy: expect.stringContaining("user_data/permissions/") as string } },
  });
  expect((await daemon.get("/health")).body.data).toEqual({ status: "degraded" });
  await expect(stat(home.at("user_data/permissions/.secret_key"))).rejects.toThrow(/ENOENT/u);
});

test("H9 an address beyond this machine is refused without the hosts to serve; with them it is served, warned and audited", async () => {
  await using home = await TestHome.create();
  const refused = await rumid(home, ["start"], { RUMI_API_BIND_ADDRESS: "0.0.0.0" });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("RUMI_API_ALLOWED_HOSTS");
  await using daemon = await DaemonProcess.start(home, { RUMI_API_BIND_ADDRESS: "0.0.0.0", RUMI_API_ALLOWED_HOSTS: "0.0.0.0" });
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=security&action=api_bind_all_interfaces");
  expect(entries.body.data.entries).toMatchObject([{ details: { address: "0.0.0.0", allowed_hosts: ["0.0.0.0"] } }]);
});

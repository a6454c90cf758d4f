import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB, RumiError, sha256, systemClock, systemRandom } from "@rumi/core";
import type { Logger, PackId } from "@rumi/core";
import { refuseRuntime } from "@rumi/pack-runtime";
import { runnerRoot } from "@rumi/runner";
import type { Sandbox, SandboxProbe } from "@rumi/sandbox";
import { removeTree } from "@rumi/safe-files";
import { chooseStrict } from "./choose-sandbox.ts";
import type { Config } from "./config.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { holderOf } from "./doctor-machine.ts";
import type { HomePaths } from "./home.ts";
import { chooseSocketBase } from "./socket-base.ts";
import { adapterText } from "./start-lines.ts";
import { FileImagePins } from "./state-files.ts";

const SILENT: Logger = { log: () => undefined };
/** Calls of the round trip; the middle one is told. */
const ROUND_TRIPS = 5;

/** The engine and what blocks need of it: version, walls, images, a real round trip into a container, leftovers. */
export async function engineChecks(config: Config, paths: HomePaths): Promise<Finding[]> {
  const doctor = systemRandom.hex(16);
  const socketBase = await chooseSocketBase({
    kind: "capability",
    configured: config.sockets.capability.base,
    runtimeFolder: config.runtimeFolder,
    installation: doctor,
  });
  // An installation of its own: a running daemon's sweep leaves these instances alone, and ours leaves the daemon's alone.
  await using own = await temporaryUserData();
  await using sandbox = await sandboxOf(config, paths, doctor, socketBase, own.path);
  const probe = await sandbox.probe({ fresh: true });
  return [
    ...sandboxFindings(config, probe),
    ...imageFindings(probe),
    await roundTripFinding(sandbox, probe, config),
    await orphanFinding(config, paths, probe, socketBase, own.path),
  ];
}

/** What a trial unpacks is kept out of the home: a look changes nothing there. */
async function temporaryUserData(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "rumi-doctor-home-"));
  return { path, [Symbol.asyncDispose]: () => removeTree(path) };
}

/** The sandbox that a start would settle on. */
async function sandboxOf(config: Config, paths: HomePaths, installation: string, socketBase: string, userData: string): Promise<Sandbox> {
  const pins = new FileImagePins(paths);
  const chosen = await chooseStrict(
    config,
    {
      userData,
      installation,
      // A look pins nothing.
      pins: { read: (ref) => pins.read(ref), write: () => Promise.resolve() },
      socketBase,
      runnerRoot: runnerRoot(),
      clock: systemClock,
      logger: SILENT,
    },
    true,
  );
  return chosen.sandbox;
}

function sandboxFindings(config: Config, probe: SandboxProbe): Finding[] {
  const remedy = probe.remedy ?? "tools/engine-up.sh";
  if (!probe.available) {
    const text = `no sandbox: ${probe.warnings[0] ?? "none answers"}`;
    const engine =
      probe.adapter === "bubblewrap"
        ? fail("engine", probe.warnings[0] ?? "bubblewrap does not work here", remedy)
        : fail("engine", `nothing answers at ${config.engineSocket}`, remedy);
    return [
      config.securityMode === "strict"
        ? fail("sandbox", `${text}; strict mode refuses all third-party code`, remedy)
        : warn("sandbox", `${text}; permissive mode runs blocks on this machine`, remedy),
      engine,
    ];
  }
  const weak = (id: string): Finding[] =>
    probe.weaknesses
      .filter((weakness) => (id === "seccomp") === (weakness.id === "seccomp"))
      .map((weakness) => (config.securityMode === "strict" ? fail : warn)(id, weakness.message, remedy));
  const warned = probe.warnings.map((warning) => topicOf(probe, warning));
  const limits = weak("engine_limits");
  const seccomp = weak("seccomp");
  return [
    ok("sandbox", `${config.securityMode}: one sandbox per pack (${adapterText(probe)}), RUMI_SANDBOX is ${config.sandbox}`),
    ...engineFindings(config, probe),
    ...probe.warnings.map((warning) => warn(topicOf(probe, warning), warning)),
    ...(limits.length === 0 ? [ok("engine_limits", "memory and process limits are enforced")] : limits),
    ...(seccomp.length === 0 && !warned.includes("seccomp") ? [ok("seccomp", "system calls are filtered")] : seccomp),
  ];
}

function engineFindings(config: Config, probe: SandboxProbe): Finding[] {
  const { version, api } = probe.engine ?? { version: "?", api: "?" };
  if (probe.adapter === "bubblewrap")
    return [
      ok("engine", "bubblewrap makes sandboxes here; it needs no engine"),
      ok("engine_version", `bubblewrap ${version}, limits by ${api}`),
      ...(config.ociRuntime === null ? [] : [warn("engine_version", "RUMI_DOCKER_RUNTIME is Docker's: bubblewrap has no runtime")]),
    ];
  const runtime = probe.oci_runtime === undefined ? "" : `, ${probe.oci_runtime}`;
  return [ok("engine", `${config.engineSocket} answers`), ok("engine_version", `Docker ${version}, API ${api}${runtime}`)];
}

function topicOf(probe: SandboxProbe, warning: string): "images" | "seccomp" | "engine_version" {
  if (Object.values(probe.runtimes).some((image) => warning.includes(image.ref))) return "images";
  return warning.includes("filter of system calls") ? "seccomp" : "engine_version";
}

function imageFindings(probe: SandboxProbe): Finding[] {
  if (!probe.available) return [];
  return Object.entries(probe.runtimes).map(([runtime, image]) =>
    image.present
      ? ok("images", `${runtime}: ${image.ref} (${image.image_id?.slice(0, 19) ?? "not pinned yet"})`)
      : fail("images", `${runtime}: ${image.ref} is not there; it is never pulled by itself`, probe.remedy ?? "tools/engine-up.sh"),
  );
}

/** Starts a container with one harmless block and calls it. */
async function roundTripFinding(sandbox: Sandbox, probe: SandboxProbe, config: Config): Promise<Finding> {
  const refusal = refuseRuntime(probe, "permissive", "python");
  if (refusal !== null) return warn("socket_round_trip", `not tried: ${refusal.message}`, refusal.remedy ?? null);
  const folder = await mkdtemp(join(tmpdir(), "rumi-doctor-"));
  try {
    await chmod(folder, 0o755);
    await writeFile(join(folder, "echo.py"), "def run(data):\n    return data\n", { mode: 0o644 });
    const digest = sha256("doctor");
    const instance = await sandbox.start({
      instance_id: systemRandom.hex(16),
      purpose: "block",
      pack_id: "doctor" as PackId,
      digest,
      runtime: "python",
      authority: "doctor",
      mounts: [{ source: folder, target: "/pack", read_only: true }],
      sockets: {},
      limits: { memory_bytes: 128 * MIB, cpus: 1, pids: config.block.pids, tmp_bytes: 8 * MIB },
      env: {},
      reuse: false,
      slots: 1,
    });
    const times: number[] = [];
    for (let index = 0; index < ROUND_TRIPS; index += 1) {
      const started = performance.now();
      const result = await sandbox.run(instance, {
        call_id: `doctor-${index}`,
        convention: "block",
        file: "echo.py",
        function: null,
        input: { index },
        context: {},
        timeout_ms: 10_000,
        max_result_bytes: 4096,
        max_log_bytes: 4096,
      });
      if (result.kind !== "ok")
        return fail("socket_round_trip", `a call into a container ended ${result.kind}: ${result.message}`, "rumi doctor");
      times.push(performance.now() - started);
    }
    await sandbox.stop(instance);
    return ok(
      "socket_round_trip",
      `a call into a container and back: ${(times.toSorted((a, b) => a - b)[ROUND_TRIPS >> 1] ?? 0).toFixed(2)} ms`,
    );
  } catch (cause) {
    const code = cause instanceof RumiError ? cause.code : "failed";
    return fail(
      "socket_round_trip",
      `a container did not start (${code})`,
      (cause instanceof RumiError ? cause.remedy : undefined) ?? "docker info",
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function orphanFinding(
  config: Config,
  paths: HomePaths,
  probe: SandboxProbe,
  socketBase: string,
  userData: string,
): Promise<Finding> {
  const installation = (await readFile(paths.installationId, "utf8").catch(() => "")).trim();
  if (installation === "" || !probe.available) return ok("orphans", "no sandbox of this home is known");
  if ((await holderOf(paths)) !== null) return ok("orphans", "the running daemon looks after its sandboxes");
  await using sandbox = await sandboxOf(config, paths, installation, socketBase, userData);
  const held = await sandbox.list().catch(() => []);
  return held.length === 0
    ? ok("orphans", "none")
    : warn("orphans", `${held.length} sandboxes of an earlier daemon; the next start removes them`, "npm start", true);
}

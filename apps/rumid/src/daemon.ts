import { readFile, rm } from "node:fs/promises";
import { serveApi } from "@rumi/api";
import type { ApiServer } from "@rumi/api";
import { isoTime, RumiError } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { writeFileAtomic } from "@rumi/safe-files";
import { runnerRoot } from "@rumi/runner";
import type { RunAnswer } from "@rumi/flow-engine";
import type { SandboxProbe } from "@rumi/sandbox";
import { firstFailure } from "./bind-api.ts";
import { approveBundledExample, BUNDLED_EXAMPLE, copyBundledExample, isFreshHome } from "./bundled-example.ts";
import { chooseSandbox } from "./choose-sandbox.ts";
import { compose } from "./compose.ts";
import type { Composition } from "./compose.ts";
import type { RightsFoundations } from "./compose-rights.ts";
import { isLoopback } from "./config.ts";
import type { Config } from "./config.ts";
import { DaemonState } from "./daemon-state.ts";
import { RumidError } from "./errors.ts";
import { openFoundations } from "./foundations.ts";
import type { Foundations } from "./foundations.ts";
import { daemonVersion, INSTALLATION_ROOT } from "./home.ts";
import { openState } from "./open-state.ts";
import { PART } from "./parts.ts";
import { portHolder } from "./port-holder.ts";
import { startRights } from "./start-rights.ts";
import { chooseSocketBase } from "./socket-base.ts";
import type { ExampleFacts, StartFacts } from "./start-lines.ts";
import { FileImagePins } from "./state-files.ts";

/** How long calls that run may take to end when the daemon stops. Source: page "Flows", section 8. */
const DRAIN_MS = 10_000;
/** The official flow that every start runs. */
const STARTUP_FLOW = "startup";

/** A daemon that serves. */
export interface RunningDaemon {
  readonly url: string;
  readonly facts: StartFacts;
  /** How the bundled example went, when this start brought it. */
  readonly example: ExampleFacts | null;
  /** Ends in order: no new work, calls end or are killed, containers removed, audit head written. Idempotent. */
  stop(reason: string): Promise<void>;
}

/**
 * Starts the daemon: home, lock, keys, audit, sandbox, packs, flows, API, then the official flow `startup`.
 * Whatever fails on the way is undone. `outside`: how names are resolved and addresses dialled for packs; tests give their own.
 * @throws RumidError, SafeFilesError
 */
export async function startDaemon(
  config: Config,
  onSandbox: (probe: SandboxProbe) => void = () => undefined,
  outside: RightsFoundations["outside"] = {},
): Promise<RunningDaemon> {
  await using stack = new AsyncDisposableStack();
  const foundations = stack.use(await openFoundations(config));
  const { audit, clock, diagnostics, installation, lock, logger, paths } = foundations;
  for (const warning of config.warnings) logger.log("warn", warning);
  const baseOf = (kind: "capability" | "egress"): Promise<string> =>
    chooseSocketBase({ kind, configured: config.sockets[kind].base, runtimeFolder: config.runtimeFolder, installation });
  const socketBases = { capability: await baseOf("capability"), egress: await baseOf("egress") };
  const opened = stack.use(await openState(foundations));
  const pins = new FileImagePins(paths);
  const { userData } = paths;
  const chosen = await chooseSandbox(config, {
    userData,
    installation,
    pins,
    socketBase: socketBases.capability,
    runnerRoot: runnerRoot(),
    clock,
    logger,
  });
  const sandbox = stack.use(chosen.sandbox);
  const version = daemonVersion();
  const state = new DaemonState(
    { clock, diagnostics },
    { version, mode: config.securityMode, userData: paths.userData, warnings: config.warnings, locked: foundations.locked },
  );
  const listeners: { host: string; port: number }[] = [];
  const parts = compose({ foundations, sandbox, pins, daemon: state, ...opened, socketBases, ownAddresses: () => listeners, outside });
  const watch = stack.use(parts.get(PART.sandboxWatch));
  stack.use(parts.get(PART.uses));
  stack.use(parts.get(PART.dictionary));
  stack.use(parts.get(PART.libs));
  stack.use(parts.get(PART.broker));
  stack.use(parts.get(PART.egress));
  stack.use(parts.get(PART.gateway));
  const pool = stack.use(parts.get(PART.pool));
  const approvals = stack.use(parts.get(PART.approvals));
  const catalog = stack.use(parts.get(PART.catalog));
  const pending = stack.use(parts.get(PART.pending));
  const runner = parts.get(PART.runner);
  state.attach({ approvals, catalog, runner, pool, pending, watch });

  const fresh = foundations.locked === null && (await isFreshHome(paths, INSTALLATION_ROOT));
  if (fresh) await copyBundledExample(paths, INSTALLATION_ROOT);
  const probe = await watch.start();
  onSandbox(probe);
  if (probe.available && chosen.prepare !== undefined) {
    // Beside the rest of the start; whoever needs it first waits for it, and hears why it failed.
    const prepared = chosen
      .prepare()
      .catch((cause: unknown) => logger.log("debug", "the sandbox was not prepared", { error: String(cause) }));
    stack.defer(() => prepared);
  }
  await recordStart(foundations, probe, version);

  await approvals.start();
  stack.use(parts.get(PART.containers));
  const rights = stack.use(await startRights(parts, opened.secrets));
  const exampleRefused = fresh ? await approveBundledExample(approvals) : null;
  if (fresh && exampleRefused === null) await rights.packChanged(BUNDLED_EXAMPLE.pack_id as PackId);
  await catalog.start();
  const interfaces = parts.get(PART.interfaces);
  // Modifiers may wait for what was registered, rest on what has gone, or mean another flow from now on.
  const reload = (): void => {
    catalog.reload().catch((cause: unknown) => logger.log("error", "the flows could not be loaded anew", { error: String(cause) }));
  };
  interfaces.onChange(reload);
  parts.get(PART.dictionary).onChange(reload);
  approvals.onChange(async (change) => {
    const packId = change.pack_id as PackId;
    const gate = approvals.gate(packId);
    pending.touch();
    interfaces.packChanged(packId);
    await Promise.all([
      pool.remove({ pack_id: packId, ...(gate.allowed ? { exceptDigest: gate.digest } : {}) }, `the pack is ${change.status}`),
      rights.packChanged(packId),
      catalog.reload(),
    ]);
  });

  const tokens = parts.get(PART.tokens);
  const tokenState = await tokens.load();
  const first = foundations.locked === null ? await tokens.createFirstAdmin() : null;
  if (first !== null) await writeFileAtomic(paths.apiToken, `${first.token}\n`);
  if (tokenState === "tampered")
    diagnostics.report({
      kind: "home",
      id: "tokens",
      status: "failed",
      code: "safe_files.record_tampered",
      message: "settings/tokens.json was changed: no token holds",
      remedy: "rumi doctor",
    });

  const server = stack.use(await listen(parts, config));
  listeners.push({ host: config.api.address, port: Number(new URL(server.url).port) });
  await writeFileAtomic(
    paths.daemonFile,
    `${JSON.stringify({ pid: process.pid, url: server.url, version, started_at: isoTime(clock.now()) })}\n`,
  );
  stack.defer(() => removeOwnDaemonFile(paths.daemonFile));
  await lock.announce({ pid: process.pid, url: server.url });

  await runStartup(parts, foundations);
  state.enter("running");
  runner.resume();
  const scheduler = stack.use(parts.get(PART.scheduler));
  scheduler.start();
  catalog.onLoad(() => scheduler.sync());
  parts.get(PART.bus).publish("system.ready", { version });
  const example = fresh ? await runExample(parts, exampleRefused) : null;

  const facts: StartFacts = {
    version,
    url: server.url,
    home: paths.home,
    mode: config.securityMode,
    probe,
    setup: chosen.setup,
    tokenPath: paths.apiToken,
    firstToken: first !== null,
    approved: approvals.list().filter((pack) => pack.status === "approved").length,
    waiting: approvals
      .list()
      .filter((pack) => pack.status === "installed" || pack.status === "modified")
      .map((pack) => pack.pack_id),
    faulty: approvals.list().filter((pack) => pack.status === "error").length,
    locked: foundations.locked,
    warnings: config.warnings,
    exampleFlow: example?.run === null || example === null ? null : example.flow_id,
  };
  const owned = stack.move();
  let stopping: Promise<void> | null = null;
  const stop = async (reason: string): Promise<void> => {
    state.enter("stopping");
    logger.log("debug", "stopping", { reason });
    await runner.drain(DRAIN_MS);
    await pool.close();
    await server.close(1_000);
    await audit.record({ category: "system", action: "stop", success: true, details: { reason } });
    await owned.disposeAsync();
  };
  return {
    url: server.url,
    facts,
    example,
    stop: (reason) => {
      stopping ??= stop(reason);
      return stopping;
    },
  };
}

async function recordStart({ audit, config, locked }: Foundations, probe: SandboxProbe, version: string): Promise<void> {
  await audit.record({
    category: "system",
    action: "start",
    severity: config.securityMode === "permissive" ? "warning" : "info",
    success: true,
    details: {
      version,
      mode: config.securityMode,
      adapter: probe.adapter,
      ...(probe.oci_runtime === undefined ? {} : { oci_runtime: probe.oci_runtime }),
      isolation: probe.isolation,
      available: probe.available,
      locked: locked !== null,
    },
  });
  if (!isLoopback(config.api.address)) {
    await audit.record({
      category: "security",
      action: "api_bind_all_interfaces",
      severity: "warning",
      success: true,
      details: { address: config.api.address, allowed_hosts: [...config.api.allowedHosts] },
    });
  }
}

async function listen(parts: Composition, config: Config): Promise<ApiServer> {
  try {
    return await serveApi(parts.get(PART.api), { host: config.api.address, port: config.api.port });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    if (code !== "EADDRINUSE" && code !== "EACCES" && code !== "EADDRNOTAVAIL") throw cause;
    const holder = code === "EADDRINUSE" ? await portHolder(config.api.port) : null;
    const taken = `is taken by another program${holder === null ? "" : ` (pid ${holder})`}`;
    const why = { EADDRINUSE: taken, EACCES: "may not be bound by this user", EADDRNOTAVAIL: "is not an address of this machine" }[code];
    throw new RumidError("rumid.port_taken", `${config.api.address}:${config.api.port} ${why}`, {
      cause,
      remedy: "set RUMI_API_PORT to a free port, or 0",
    });
  }
}

/** Runs the official flow; when it is not there, or not whole, the same steps built in. The daemon opens either way. */
async function runStartup(parts: Composition, { audit, diagnostics, logger }: Foundations): Promise<void> {
  const catalog = parts.get(PART.catalog);
  try {
    if (catalog.table.get(STARTUP_FLOW)?.definition.source.source === "official") {
      const answer = await parts.get(PART.runner).run(STARTUP_FLOW, {}, { caller: "boot", trigger: "boot" });
      const failure = firstFailure(answer);
      if (failure === null)
        diagnostics.report({ kind: "startup", id: STARTUP_FLOW, status: "ok", message: "the official start-up flow completed" });
      else diagnostics.report({ kind: "startup", id: STARTUP_FLOW, status: "degraded", code: failure.code, message: failure.message });
      return;
    }
    diagnostics.report({
      kind: "startup",
      id: STARTUP_FLOW,
      status: "degraded",
      code: "flow.not_found",
      message: "the official start-up flow is missing or invalid; its steps ran built in",
    });
    await parts.get(PART.approvals).scan();
    await parts.get(PART.libs).processAll();
    await parts.get(PART.pending).write();
  } catch (cause) {
    logger.log("error", "the start-up steps failed", { error: String(cause) });
    diagnostics.report({ kind: "startup", id: STARTUP_FLOW, status: "degraded", message: "the start-up steps failed" });
    await audit.record({ category: "system", action: "recover", severity: "warning", success: false, error: "start-up steps failed" });
  }
}

async function runExample(parts: Composition, refused: string | null): Promise<ExampleFacts> {
  const { pack_id: packId, flow_id: flowId, inputs } = BUNDLED_EXAMPLE;
  if (refused !== null) return { pack_id: packId, flow_id: flowId, refused, run: null };
  try {
    const answer: RunAnswer = await parts.get(PART.runner).run(flowId, inputs, { caller: "boot", trigger: "boot" });
    const failure = firstFailure(answer);
    const state = failure === null ? answer.state : "failed";
    return {
      pack_id: packId,
      flow_id: flowId,
      refused,
      run: {
        state,
        result: answer.result,
        code: failure?.code ?? null,
        reason: failure?.message ?? null,
        seconds: answer.execution_time,
        mode: answer.execution_mode,
      },
    };
  } catch (cause) {
    const code = cause instanceof RumiError ? cause.code : "internal";
    return {
      pack_id: packId,
      flow_id: flowId,
      refused,
      run: {
        state: "failed",
        result: null,
        code,
        reason: cause instanceof Error ? cause.message : "it could not be run",
        seconds: 0,
        mode: null,
      },
    };
  }
}

async function removeOwnDaemonFile(path: string): Promise<void> {
  const known = await readFile(path, "utf8").catch(() => "");
  if (known.includes(`"pid":${process.pid},`)) await rm(path, { force: true });
}

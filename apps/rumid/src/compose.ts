import "reflect-metadata/lite";
import { container as rootContainer, instanceCachingFactory } from "tsyringe";
import type { DependencyContainer, InjectionToken } from "tsyringe";
import { join } from "node:path";
import { createApi, TokenRegistry } from "@rumi/api";
import type { Api, DaemonPort } from "@rumi/api";
import { PackApprovals } from "@rumi/approval";
import { MIB, RumiError } from "@rumi/core";
import { FlowRunner } from "@rumi/flow-engine";
import type { KernelHandler } from "@rumi/flow-engine";
import {
  BlockInstanceSpecs,
  FlowCatalog,
  InstancePool,
  openKernelHandlers,
  operatorKernelHandlers,
  PackBlockRunner,
  PackReviewReader,
  PendingExport,
  RunLogs,
  SandboxWatch,
  SnapshotChecks,
  SnapshotBlockResolver,
  systemTimers,
} from "@rumi/pack-runtime";
import type { ApprovalGate, InstanceSeed } from "@rumi/pack-runtime";
import type { Sandbox } from "@rumi/sandbox";
import { bindAudit, bindFlows, bindInstances, bindPacks, bindRuns, bindSandbox } from "./bind-api.ts";
import { noRights } from "./bind-rights.ts";
import type { Foundations } from "./foundations.ts";
import { INSTALLATION_ROOT } from "./home.ts";
import { SignedTokenStore } from "./state-files.ts";
import type { FileImagePins } from "./state-files.ts";

/** Every part of the daemon by the type it answers with. */
export const PART = {
  foundations: part<Foundations>("foundations"),
  sandbox: part<Sandbox>("sandbox"),
  pins: part<FileImagePins>("pins"),
  daemon: part<DaemonPort>("daemon"),
  sandboxWatch: part<SandboxWatch>("sandboxWatch"),
  pool: part<InstancePool>("pool"),
  approvals: part<PackApprovals>("approvals"),
  checks: part<SnapshotChecks>("checks"),
  logs: part<RunLogs>("logs"),
  blocks: part<PackBlockRunner>("blocks"),
  handlers: part<readonly KernelHandler[]>("handlers"),
  catalog: part<FlowCatalog>("catalog"),
  runner: part<FlowRunner>("runner"),
  pending: part<PendingExport>("pending"),
  tokens: part<TokenRegistry>("tokens"),
  api: part<Api>("api"),
} as const;

/** A typed token of the container. */
export type Part<T> = InjectionToken<T>;

function part<T>(name: string): Part<T> {
  return Symbol(name);
}

/** The wired daemon. Parts are made when first asked for; who asked for them ends them (see `shutdown`). */
export interface Composition {
  get<T>(token: Part<T>): T;
}

/** Wires every part. Nothing is started, opened or read here. */
export function compose(given: {
  readonly foundations: Foundations;
  readonly sandbox: Sandbox;
  readonly pins: FileImagePins;
  readonly daemon: DaemonPort;
}): Composition {
  const { foundations, sandbox, pins, daemon } = given;
  const container = rootContainer.createChildContainer();
  const make = <T>(token: Part<T>, factory: (get: Composition["get"]) => T): void => {
    container.register<T>(token, {
      useFactory: instanceCachingFactory((c: DependencyContainer) => factory((wanted) => c.resolve(wanted))),
    });
  };
  const { audit, clock, config, diagnostics, logger, paths, random, redact, signed } = foundations;
  const timers = systemTimers;
  container.register(PART.foundations, { useValue: foundations });
  container.register(PART.sandbox, { useValue: sandbox });
  container.register(PART.pins, { useValue: pins });
  container.register(PART.daemon, { useValue: daemon });

  make(PART.sandboxWatch, () => new SandboxWatch({ sandbox, diagnostics, clock, timers, logger }, config.securityMode));

  make(PART.pool, (get) => {
    const watch = get(PART.sandboxWatch);
    const { block, pool } = config;
    const limits = { memory_bytes: block.memoryMb * MIB, cpus: block.cpus, pids: block.pids, tmp_bytes: block.tmpMb * MIB };
    return new InstancePool(
      {
        sandbox,
        specs: new BlockInstanceSpecs({ random }, { userData: paths.userData, limits, slots: pool.slots }),
        beforeStart: async (seed) => {
          await assertBytes(get(PART.checks), seed);
          await watch.admit(seed.runtime);
          assertGate(get(PART.checks), seed);
        },
        onLost: (_seed, end) => {
          if (end.kind === "instance_lost") watch.suspect();
        },
        clock,
        timers,
        logger,
      },
      {
        slots: pool.slots,
        queue: pool.queue,
        queueMs: pool.queueSeconds * 1000,
        maxInstances: pool.maxContainers,
        idleRemoveMs: pool.idleRemoveSeconds * 1000,
        pauseMs: pool.pauseSeconds * 1000,
      },
    );
  });

  make(PART.approvals, (get) => {
    const reviewReader = new PackReviewReader({ flows: () => get(PART.catalog).knownFlows() });
    const inUse = {
      digestsInUse: (packId: string) =>
        get(PART.pool)
          .list()
          .filter((view) => view.pack_id === packId)
          .map((view) => view.digest),
    };
    return new PackApprovals(
      {
        ecosystemFolder: paths.ecosystem,
        userData: paths.userData,
        signed,
        audit,
        diagnostics,
        clock,
        reviewReader,
        logger,
        facts: inUse,
        random,
      },
      {
        dev: {
          development: config.development.environment,
          autoApproveLocal: config.development.autoApproveLocal,
          permissive: config.securityMode === "permissive",
          devHome: false,
        },
      },
    );
  });

  make(PART.checks, (get) => new SnapshotChecks({ gate: get(PART.approvals), clock }));
  make(PART.logs, () => new RunLogs({ clock }));

  make(
    PART.blocks,
    (get) =>
      new PackBlockRunner(
        {
          gate: get(PART.checks),
          pool: get(PART.pool),
          sandbox: get(PART.sandboxWatch),
          logs: get(PART.logs),
          audit,
          clock,
          logger,
          redact,
        },
        { maxResultBytes: config.maxResponseBytes, maxLogBytes: config.callLogBytes, hostTimeoutMs: config.hostExecSeconds * 1000 },
      ),
  );

  make(PART.handlers, (get) => [
    ...openKernelHandlers({ approvals: get(PART.approvals) }),
    ...operatorKernelHandlers({
      approvals: get(PART.approvals),
      flows: () => get(PART.catalog),
      sandbox: get(PART.sandboxWatch),
      pool: get(PART.pool),
      pending: get(PART.pending),
      audit,
    }),
  ]);

  make(PART.catalog, (get) => {
    const approvals = get(PART.approvals);
    const blocks = new SnapshotBlockResolver({ gate: approvals, isKnown: (id) => approvals.list().some((pack) => pack.pack_id === id) });
    return new FlowCatalog(
      { approvals, blocks, handlers: () => get(PART.handlers), audit, diagnostics, clock, timers, logger },
      {
        officialFolder: join(INSTALLATION_ROOT, "flows"),
        sharedFolder: paths.sharedFlows,
        ecosystemFolder: paths.ecosystem,
        legacyFolders: [join(paths.home, "flow"), join(paths.ecosystem, "flows")],
        maxFileBytes: config.flows.maxFileBytes,
      },
    );
  });

  make(
    PART.runner,
    (get) =>
      new FlowRunner(
        {
          table: () => get(PART.catalog).table,
          closed: { refusal: (flowId) => get(PART.catalog).refusal(flowId) },
          blocks: get(PART.blocks),
          handlers: get(PART.handlers),
          audit,
          clock,
          logger,
          diagnostics,
        },
        { maxConcurrentRuns: config.flows.maxConcurrent, maxResponseBytes: config.maxResponseBytes },
      ),
  );

  make(PART.pending, (get) => new PendingExport({ approvals: get(PART.approvals), clock, timers, logger }, { userData: paths.userData }));

  make(PART.tokens, () => new TokenRegistry({ store: new SignedTokenStore({ signed, paths }), audit, clock, random }));

  make(PART.api, (get) =>
    createApi(
      {
        packs: bindPacks(get(PART.approvals), get(PART.pool)),
        flows: bindFlows(get(PART.catalog)),
        runs: bindRuns({ runner: get(PART.runner), catalog: get(PART.catalog), daemon, logs: get(PART.logs) }),
        sandbox: bindSandbox({ watch: get(PART.sandboxWatch), pins: get(PART.pins), audit }),
        instances: bindInstances({ pool: get(PART.pool), approvals: get(PART.approvals), sandbox, audit }),
        ...noRights(),
        daemon,
        audit: bindAudit(audit),
        auditSink: audit,
        tokens: get(PART.tokens),
        clock,
        random,
        logger,
        // No secret lives in the daemon yet.
        redact: (text) => text,
      },
      {
        allowedHosts: config.api.allowedHosts,
        corsOrigins: config.api.corsOrigins,
        limits: {
          rateWindowSeconds: config.api.rateWindowSeconds,
          tokenRateLimit: config.api.rateLimit,
          addressRateLimit: config.api.addressRateLimit,
          maxBodyBytes: config.api.maxBodyBytes,
        },
      },
    ),
  );
  return { get: (token) => container.resolve(token) };
}

async function assertBytes(checks: ApprovalGate, seed: InstanceSeed): Promise<void> {
  const verified = await checks.verifySnapshot(seed.pack_id, seed.digest);
  if (!verified.allowed) throw refused(verified);
}

function assertGate(checks: ApprovalGate, seed: InstanceSeed): void {
  const gate = checks.gate(seed.pack_id, seed.digest);
  if (!gate.allowed) throw refused(gate);
}

function refused(refusal: { readonly code: `${string}.${string}`; readonly reason: string; readonly remedy?: string }): RumiError {
  return new RumiError(refusal.code, refusal.reason, refusal.remedy === undefined ? {} : { remedy: refusal.remedy });
}

import "reflect-metadata/lite";
import { container as rootContainer, instanceCachingFactory } from "tsyringe";
import type { DependencyContainer } from "tsyringe";
import { join } from "node:path";
import { createApi, TokenRegistry } from "@rumi/api";
import type { DaemonPort } from "@rumi/api";
import { PackApprovals } from "@rumi/approval";
import { GrantedSubFlows, StepFunctions } from "@rumi/core-capabilities";
import type { StepFunctionsDeps } from "@rumi/core-capabilities";
import { MIB, RumiError } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { contextHandlers, flowHandlers, FlowRunner, Scheduler } from "@rumi/flow-engine";
import type { RunState } from "@rumi/flow-engine";
import { libKernelHandlers, LibRuns } from "@rumi/pack-lifecycle";
import { packNeeds } from "@rumi/pack-manifest";
import {
  BlockInstanceSpecs,
  dictionaryKernelHandlers,
  EventBus,
  FlowCatalog,
  InstancePool,
  interfaceKernelHandlers,
  InterfaceRegistry,
  openKernelHandlers,
  operatorKernelHandlers,
  PackBlockRunner,
  PackConverters,
  PackReviewReader,
  PendingExport,
  rightsKernelHandlers,
  RunLogs,
  SandboxWatch,
  SnapshotChecks,
  SnapshotBlockResolver,
  systemTimers,
  VocabularyCatalog,
  vocabularyKernelHandlers,
} from "@rumi/pack-runtime";
import type { ApprovalGate, InstanceSeed } from "@rumi/pack-runtime";
import type { SqliteRunJournal } from "@rumi/run-journal-sqlite";
import type { InstanceLimits } from "@rumi/sandbox";
import { PackVocabulary, SharedDictionary } from "@rumi/vocabulary";
import { bindAudit, bindFlows, bindInstances, bindPacks, bindRuns, bindSandbox } from "./bind-api.ts";
import { bindDictionary } from "./bind-dictionary.ts";
import { bindFlowWork, bindSchedules } from "./bind-flow-work.ts";
import { bindLibs } from "./bind-libs.ts";
import { bindRights } from "./bind-rights.ts";
import { declaredOf, makeRights, packCallDeps } from "./compose-rights.ts";
import type { RightsFoundations } from "./compose-rights.ts";
import type { Config } from "./config.ts";
import { INSTALLATION_ROOT } from "./home.ts";
import { packsWithRights } from "./packs-with-rights.ts";
import { PART } from "./parts.ts";
import type { Get, Make } from "./parts.ts";
import { planFacts, untaken } from "./plan-facts.ts";
import { SharedFlowFiles } from "./shared-flow-files.ts";
import { SignedTokenStore } from "./state-files.ts";
import type { FileImagePins } from "./state-files.ts";

/** The wired daemon. Parts are made when first asked for; who asked for them ends them (see `shutdown`). */
export interface Composition {
  readonly get: Get;
}

/** Wires every part. Nothing is started, opened or read here. */
export function compose(
  given: RightsFoundations & {
    readonly pins: FileImagePins;
    readonly daemon: DaemonPort;
    readonly journal: SqliteRunJournal;
  },
): Composition {
  const { foundations, sandbox, pins, daemon, journal, secrets, kv } = given;
  const { live } = foundations;
  const container = rootContainer.createChildContainer();
  const make: Make = (token, factory) => {
    container.register(token, {
      useFactory: instanceCachingFactory((c: DependencyContainer) => factory((wanted) => c.resolve(wanted))),
    });
  };
  const { audit, clock, config, diagnostics, logger, paths, random, redact, signed } = foundations;
  const timers = systemTimers;
  container.register(PART.foundations, { useValue: foundations });
  container.register(PART.sandbox, { useValue: sandbox });
  container.register(PART.pins, { useValue: pins });
  container.register(PART.daemon, { useValue: daemon });
  makeRights(make, given);

  make(PART.sandboxWatch, () => new SandboxWatch({ sandbox, diagnostics, clock, timers, logger }, config.securityMode));

  make(PART.pool, (get) => {
    const watch = get(PART.sandboxWatch);
    const { pool } = config;
    return new InstancePool(
      {
        sandbox,
        specs: new BlockInstanceSpecs(
          { random, hasForwardProxy: (packId) => hasForwardProxy(get, config, packId) },
          { userData: paths.userData, limits: instanceLimits(config), slots: pool.slots },
        ),
        gateway: get(PART.gateway),
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
      digestsInUse: (packId: string) => [
        ...get(PART.pool)
          .list()
          .filter((view) => view.pack_id === packId)
          .map((view) => view.digest),
        ...get(PART.libs).digestsInUse(packId),
      ],
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
  make(
    PART.logs,
    () => new RunLogs({ clock, onLine: (runId, { step_id, stream, text }) => journal.tell(runId, "log", { step_id, stream, text }) }),
  );

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

  make(PART.vocabulary, (get) => new VocabularyCatalog({ approvals: get(PART.approvals), diagnostics }));

  make(
    PART.libs,
    (get) =>
      new LibRuns(
        {
          approvals: get(PART.approvals),
          gate: get(PART.checks),
          sandbox,
          admit: (runtime) => get(PART.sandboxWatch).admit(runtime),
          audit,
          clock,
          random,
          diagnostics,
          logger,
          redact,
        },
        {
          userData: paths.userData,
          recordsFile: join(paths.settings, "lib_execution_records.json"),
          limits: instanceLimits(config),
        },
      ),
  );

  make(PART.bus, () => new EventBus({ logger }));
  make(PART.interfaces, (get) => {
    const approvals = get(PART.approvals);
    return new InterfaceRegistry({
      gate: approvals,
      isKnownPack: (id) => approvals.list().some((pack) => pack.pack_id === id),
      audit,
      logger,
    });
  });

  make(PART.handlers, (get) => [
    ...contextHandlers(),
    ...flowHandlers((namespace, token) => get(PART.dictionary).resolve(namespace, token).value),
    ...interfaceKernelHandlers({ registry: get(PART.interfaces), bus: get(PART.bus) }),
    ...rightsKernelHandlers({ grants: get(PART.grants), gate: get(PART.approvals) }),
    ...openKernelHandlers({ network: get(PART.network) }),
    ...vocabularyKernelHandlers({
      catalog: get(PART.vocabulary),
      converters: new PackConverters(
        { catalog: get(PART.vocabulary), ...packCallDeps(get, foundations) },
        { maxResultBytes: config.maxResponseBytes },
      ),
    }),
    ...dictionaryKernelHandlers({ dictionary: get(PART.dictionary) }),
    ...libKernelHandlers({ libs: get(PART.libs) }),
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
      {
        approvals,
        blocks,
        handlers: () => get(PART.handlers),
        modifiers: {
          rights: {
            mayReachWide: (packId) => get(PART.privileges).has(packId, "allow_wildcard_modifiers"),
            consentedOverwrites: (packId, modifierId) => approvals.consentedOverwrites(packId, modifierId),
          },
          facts: {
            hasInterface: (name) =>
              get(PART.interfaces).has(name) || approvals.approved().some((pack) => packNeeds(pack.pack.manifest).provides.includes(name)),
            hasCapability: (name) => get(PART.capabilities).find(name) !== undefined || get(PART.interfaces).hasCapability(name),
            resolve: (namespace, token) => get(PART.dictionary).resolve(namespace, token).value,
          },
        },
        audit,
        diagnostics,
        clock,
        timers,
        logger,
      },
      {
        officialFolder: join(INSTALLATION_ROOT, "flows"),
        sharedFolder: paths.sharedFlows,
        ecosystemFolder: paths.ecosystem,
        legacyFolders: [join(paths.home, "flow"), join(paths.ecosystem, "flows")],
        maxFileBytes: config.flows.maxFileBytes,
      },
    );
  });

  const stepFunctions = (get: Get, grants: StepFunctionsDeps["grants"]): StepFunctions =>
    new StepFunctions({
      functions: get(PART.functions),
      approvals: get(PART.approvals),
      grants,
      source: get(PART.capabilities),
      broker: get(PART.broker),
      audit,
      clock,
      mode: () => (get(PART.sandboxWatch).last?.isolation === "none" ? "host_permissive" : "container"),
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
          vocabulary: new PackVocabulary({ words: get(PART.vocabulary) }),
          rights: new GrantedSubFlows({ grants: get(PART.grants) }),
          functions: stepFunctions(get, get(PART.grants)),
          journal,
          consent: {
            // What was agreed to is what would be composed now: a privilege may be gone, or other overwrites listed.
            holds: ({ pack_id: packId, modifier_id: modifier }) =>
              packId === null ||
              (get(PART.approvals).gate(packId).allowed &&
                get(PART.catalog).table.modifiers.some((one) => one.applied && one.pack_id === packId && one.modifier_id === modifier)),
            isCurrent: (packId, digest) => get(PART.approvals).gate(packId, digest).allowed,
          },
          audit,
          clock,
          logger,
          diagnostics,
        },
        { maxConcurrentRuns: config.flows.maxConcurrent, maxResponseBytes: config.maxResponseBytes },
      ),
  );

  make(
    PART.scheduler,
    (get) =>
      new Scheduler({
        table: () => get(PART.catalog).table,
        start: (flowId, inputs, options) => get(PART.runner).start(flowId, inputs, options),
        stateOf: (runId) => get(PART.runner).get(runId)?.state ?? (journal.history.stateOf(runId) as RunState | null),
        store: journal.schedules,
        clock,
        timers,
        logger,
        diagnostics,
      }),
  );

  make(PART.pending, (get) => new PendingExport({ approvals: get(PART.approvals), clock, timers, logger }, { userData: paths.userData }));

  make(PART.dictionary, () => new SharedDictionary({ audit, clock, diagnostics, logger }, { folder: join(paths.settings, "shared_dict") }));

  make(PART.tokens, () => new TokenRegistry({ store: new SignedTokenStore({ signed, paths }), audit, clock, random }));

  make(PART.api, (get) =>
    createApi(
      {
        packs: packsWithRights(bindPacks(get(PART.approvals), get(PART.pool)), {
          gate: get(PART.approvals),
          grants: get(PART.grants),
          verdicts: get(PART.network),
          stores: get(PART.stores),
          clock,
        }),
        flows: bindFlows(get(PART.catalog)),
        flowWork: bindFlowWork({
          catalog: get(PART.catalog),
          files: new SharedFlowFiles(paths.sharedFlows),
          facts: planFacts({
            checks: get(PART.checks),
            watch: get(PART.sandboxWatch),
            functions: stepFunctions(get, untaken(get(PART.grants))),
            subFlows: new GrantedSubFlows({ grants: untaken(get(PART.grants)) }),
          }),
          audit,
        }),
        schedules: bindSchedules({ scheduler: get(PART.scheduler), audit }),
        runs: bindRuns({ runner: get(PART.runner), catalog: get(PART.catalog), daemon, journal }),
        sandbox: bindSandbox({ watch: get(PART.sandboxWatch), pins: get(PART.pins), audit }),
        instances: bindInstances({ pool: get(PART.pool), approvals: get(PART.approvals), sandbox, audit }),
        ...bindRights({
          grants: get(PART.grants),
          declared: { declared: (packId) => declaredOf(get(PART.approvals).describe(packId)) },
          verdicts: get(PART.network),
          gate: get(PART.approvals),
          reports: get(PART.reports),
          privileges: get(PART.privileges),
          secrets,
          stores: get(PART.stores),
          kv,
          cursors: get(PART.cursors),
          audit,
          clock,
          onReport: (packId) => void get(PART.pool).drain({ pack_id: packId }),
        }),
        dictionary: bindDictionary(get(PART.dictionary)),
        libs: bindLibs({ libs: get(PART.libs), audit }),
        daemon,
        audit: bindAudit(audit),
        auditSink: audit,
        tokens: get(PART.tokens),
        clock,
        random,
        logger,
        redact: (text) => live.redact(text),
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

/** The walls of an instance that runs a pack's code. */
function instanceLimits({ block }: Config): InstanceLimits {
  return { memory_bytes: block.memoryMb * MIB, cpus: block.cpus, pids: block.pids, tmp_bytes: block.tmpMb * MIB };
}

/** Ordinary HTTP libraries inside find the proxy while the pack holds a network grant, or a report runs. */
function hasForwardProxy(get: Get, config: Config, packId: PackId): boolean {
  return config.egress.proxy && (get(PART.network).hasNetwork(packId) || get(PART.reports).until(packId) !== null);
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

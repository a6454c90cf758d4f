import { join } from "node:path";
import {
  CapabilityBroker,
  createGrantSpecs,
  GrantBook,
  GRANT_SPECS,
  HostPrivileges,
  NetworkGrants,
  SqliteUseCounters,
  TrustStore,
} from "@rumi/capability";
import { CapabilityTable, createCoreCapabilities, GrantedSecretBroker, PackEgressPolicy, PackHandlers } from "@rumi/core-capabilities";
import { MIB, PermissionId } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { EgressProxy, EgressReports } from "@rumi/egress";
import type { Connector, OwnAddress, Resolver } from "@rumi/egress";
import { declaredRights } from "@rumi/pack-manifest";
import { FunctionCatalog, InstanceGateway, PackFunctions } from "@rumi/pack-runtime";
import type { Sandbox } from "@rumi/sandbox";
import { DockerContainers } from "@rumi/sandbox-docker";
import type { SecretStore } from "@rumi/secrets";
import { StoreCursors, StoreRegistry } from "@rumi/store";
import type { KvStore } from "@rumi/store";
import * as v from "valibot";
import type { SocketSettings } from "./config.ts";
import type { Foundations } from "./foundations.ts";
import { INSTALLATION_ROOT } from "./home.ts";
import { PART } from "./parts.ts";
import type { Get, Make } from "./parts.ts";

/** What key of the keyring signs cursors. Source: page "Trust", section 3. */
const CURSOR_KEY_INFO = "rumi/cursor/v1";
/** Characters of the installation's id in the names of its socket folders. */
const INSTALLATION_CHARS = 8;

/** What the parts of rights are given, opened already. */
export interface RightsFoundations {
  readonly foundations: Foundations;
  readonly sandbox: Sandbox;
  readonly secrets: SecretStore;
  readonly kv: KvStore;
  /** Folders for sockets of each kind, ours and private. */
  readonly socketBases: { readonly capability: string; readonly egress: string };
  /** Listeners of this daemon, which no pack may reach. */
  readonly ownAddresses: () => readonly OwnAddress[];
  /** How names are resolved and addresses dialled; absent: as the machine does. */
  readonly outside?: { readonly resolver?: Resolver; readonly connect?: Connector };
}

/** Wires the parts of rights: grants, secrets, stores, egress, functions, and the sockets through which packs use them. */
export function makeRights(make: Make, given: RightsFoundations): void {
  const { foundations, sandbox, secrets, kv, socketBases } = given;
  const { audit, clock, config, diagnostics, installation, keyring, live, logger, paths, random, redact, signed } = foundations;
  const { userData } = paths;

  make(PART.stores, () => new StoreRegistry({ kv, signed, userData, audit, diagnostics, clock }));
  make(PART.cursors, () => new StoreCursors(keyring.derive(CURSOR_KEY_INFO)));
  make(PART.uses, () => SqliteUseCounters.open(join(paths.permissions, "uses.db"), diagnostics));
  make(PART.trust, () => new TrustStore({ signed, userData, audit, diagnostics, clock }));
  make(
    PART.privileges,
    () => new HostPrivileges({ signed, userData, forbiddenSources: [INSTALLATION_ROOT, userData], audit, diagnostics, clock }),
  );
  make(PART.grants, (get) => {
    const approvals = get(PART.approvals);
    return new GrantBook({
      signed,
      userData,
      audit,
      diagnostics,
      clock,
      uses: get(PART.uses),
      specs: createGrantSpecs({
        isHandler: (permission) => get(PART.packHandlers).find(permission) !== undefined,
        requestsPerMinute: config.egress.rateLimit,
      }),
      declared: { declared: (packId) => declaredOf(approvals.describe(packId)) },
      isKnownPack: (packId) => approvals.list().some((pack) => pack.pack_id === packId),
    });
  });
  make(PART.network, (get) => new NetworkGrants({ grants: get(PART.grants), gate: get(PART.approvals) }));

  make(PART.reports, () => new EgressReports({ clock }));
  make(PART.secretBroker, (get) => new GrantedSecretBroker({ grants: get(PART.grants), secrets, live, watch: secrets.watch }));
  make(PART.egress, (get) => {
    const { connectSeconds, maxWorkers, proxy, rateLimit, readSeconds } = config.egress;
    return new EgressProxy(
      {
        policy: new PackEgressPolicy({ approvals: get(PART.approvals), network: get(PART.network) }),
        secrets: get(PART.secretBroker),
        audit,
        clock,
        logger,
        reports: get(PART.reports),
        ownAddresses: given.ownAddresses,
        ...given.outside,
      },
      {
        requestsPerMinute: rateLimit,
        connectTimeoutMs: connectSeconds * 1000,
        readTimeoutMs: readSeconds * 1000,
        maxInFlight: maxWorkers,
        maxResponseBytes: config.maxResponseBytes,
        forwardProxy: proxy,
      },
    );
  });

  make(
    PART.functionCatalog,
    (get) =>
      new FunctionCatalog({
        approvals: get(PART.approvals),
        diagnostics,
        isPermission: (name) => GRANT_SPECS.has(name) || get(PART.packHandlers).find(name) !== undefined,
      }),
  );
  make(
    PART.functions,
    (get) =>
      new PackFunctions(
        { catalog: get(PART.functionCatalog), ...packCallDeps(get, foundations) },
        { maxResultBytes: config.maxResponseBytes },
      ),
  );
  make(PART.packHandlers, (get) => {
    const { block } = config;
    return new PackHandlers(
      {
        approvals: get(PART.approvals),
        trust: get(PART.trust),
        sandbox,
        admit: (runtime) => get(PART.sandboxWatch).admit(runtime),
        mounts: (packId) => get(PART.privileges).mounts(packId),
        diagnostics,
        logger,
        random,
      },
      { limits: { memory_bytes: block.memoryMb * MIB, cpus: block.cpus, pids: block.pids, tmp_bytes: block.tmpMb * MIB } },
    );
  });
  make(PART.containers, (get) =>
    get(PART.sandboxWatch).last?.adapter === "docker"
      ? new DockerContainers(
          { installation, clock, random, logger },
          {
            engineSocket: config.engineSocket,
            ociRuntime: config.ociRuntime ?? undefined,
            allowWeak: config.securityMode === "permissive",
          },
        )
      : null,
  );
  make(PART.capabilities, (get) => {
    const builtIn = createCoreCapabilities(
      {
        rights: get(PART.grants),
        approvals: get(PART.approvals),
        secrets,
        kv,
        stores: get(PART.stores),
        cursors: get(PART.cursors),
        flows: { run: (flowId, inputs, options) => get(PART.runner).run(flowId, inputs, options) },
        functions: get(PART.functions),
        containers: get(PART.containers),
        signed,
        clock,
        random,
      },
      { userData },
    );
    return new CapabilityTable(builtIn, get(PART.packHandlers));
  });
  make(
    PART.broker,
    (get) =>
      new CapabilityBroker(
        {
          grants: get(PART.grants),
          gate: get(PART.approvals),
          // The powers use the runner, whose blocks use the sockets that lead here.
          source: { find: (name) => get(PART.capabilities).find(name) },
          audit,
          clock,
          logger,
          redact,
        },
        { secretGetPerMinute: config.secrets.getRateLimit, maxResponseBytes: config.maxResponseBytes },
      ),
  );
  make(
    PART.gateway,
    (get) =>
      new InstanceGateway(
        { capability: get(PART.broker), egress: get(PART.egress), audit, clock, logger },
        {
          capability: socketPlace(
            join(socketBases.capability, `${installation.slice(0, INSTALLATION_CHARS)}-c`),
            config.sockets.capability,
          ),
          egress: socketPlace(join(socketBases.egress, `${installation.slice(0, INSTALLATION_CHARS)}-e`), config.sockets.egress),
        },
      ),
  );
}

/** What every call of a pack's code by name needs beside its catalog. */
export function packCallDeps(get: Get, { audit, clock, logger, random, redact }: Foundations) {
  return { gate: get(PART.checks), pool: get(PART.pool), logs: get(PART.logs), audit, clock, random, logger, redact };
}

function socketPlace(base: string, { gid, mode }: SocketSettings) {
  return {
    base,
    ...(gid === null ? {} : { gid }),
    ...(mode === null ? {} : { mode: mode === "0660" ? (0o660 as const) : (0o666 as const) }),
  };
}

/** What a pack wishes for, by permission; a name that is none is nobody's right. */
export function declaredOf(pack: Parameters<typeof declaredRights>[0] | null): ReadonlyMap<PermissionId, JsonObject> | null {
  if (pack === null) return null;
  const rights = new Map<PermissionId, JsonObject>();
  for (const [name, config] of declaredRights(pack)) {
    const permission = v.safeParse(PermissionId, name);
    if (permission.success) rights.set(permission.output, config);
  }
  return rights;
}

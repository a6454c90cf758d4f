import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MIB, systemClock, systemRandom } from "@rumi/core";
import type { FlowId, JsonValue, PackId, RunId, StepId } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { runnerRoot } from "@rumi/runner";
import type { InstanceSpec, RunResult, Runtime, Sandbox } from "@rumi/sandbox";
import { FORWARD_PROXY_ENV } from "@rumi/sandbox";
import { BubblewrapSandbox } from "@rumi/sandbox-bubblewrap";
import { DockerSandbox } from "@rumi/sandbox-docker";
import { temporaryFolder } from "@rumi/testkit";
import type { InstanceGatewayOptions, SocketPlace } from "../src/gateway/instance-gateway.ts";
import { InstanceGateway } from "../src/gateway/instance-gateway.ts";
import type { CapabilityService, EgressService } from "../src/gateway/ports.ts";
import { InstancePool } from "../src/instance-pool.ts";
import type { InstancePoolOptions } from "../src/pool-options.ts";
import type { InstanceSeed } from "../src/ports.ts";
import { EchoCapability, KeptEgress } from "../src/testing/gateway-place.ts";
import { seed } from "../src/testing/seeds.ts";
import { systemTimers } from "../src/timers.ts";

export type Adapter = "docker" | "bubblewrap";

export interface SandboxedOptions {
  readonly adapter: Adapter;
  /** Files of every pack, by path. */
  readonly files: Readonly<Record<string, string>>;
  readonly capability?: CapabilityService;
  readonly egress?: EgressService;
  /** Packs whose instances get the forward proxy. */
  readonly proxied?: readonly string[];
  /** Of the runner's and the capability socket; the egress socket has those of `egressRights`. */
  readonly rights?: Pick<SocketPlace, "gid" | "mode">;
  readonly egressRights?: Pick<SocketPlace, "gid" | "mode">;
  readonly requests?: InstanceGatewayOptions["requests"];
  readonly pool?: InstancePoolOptions;
  /** Shown at `/pip-packages`. */
  readonly pip?: string;
}

/** Real instances of a real sandbox behind a pool and a gateway, in a folder of their own. */
export interface Sandboxed extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly pool: InstancePool;
  readonly gateway: InstanceGateway;
  readonly audit: MemoryAudit;
  seed(pack: string, runtime: Runtime, over?: Partial<InstanceSeed>): InstanceSeed;
  /** Runs one call of a block. */
  call(
    seed: InstanceSeed,
    file: string,
    input?: JsonValue,
    options?: { readonly timeoutMs?: number; readonly chain?: readonly string[] },
  ): Promise<RunResult>;
  /** What a call that has to succeed gave. */
  value(seed: InstanceSeed, file: string, input?: JsonValue): Promise<JsonValue>;
  /** Folders of sockets that are there now. */
  sockets(): Promise<string[]>;
}

const INSTALLATION_CHARS = 8;

export async function sandboxed(options: SandboxedOptions): Promise<Sandboxed> {
  const folder = await temporaryFolder("rumi-gw-");
  const installation = systemRandom.hex(16);
  const socketBase = join(folder.path, "s");
  const pack = join(folder.path, "pack");
  await mkdir(socketBase, { mode: 0o700 });
  for (const [path, text] of Object.entries({ "ecosystem.json": "{}", ...options.files })) {
    await mkdir(dirname(join(pack, path)), { recursive: true });
    await writeFile(join(pack, path), text);
  }
  const shared = {
    installation,
    socketBase,
    runnerRoot: runnerRoot(),
    userData: join(folder.path, "user_data"),
    clock: systemClock,
    logger: silentLogger,
  };
  const rights = options.rights ?? {};
  const egressRights = options.egressRights ?? rights;
  const socketOptions = {
    ...(rights.gid === undefined ? {} : { socketGid: rights.gid }),
    ...(egressRights.gid === undefined ? {} : { extraGids: [egressRights.gid] }),
  };
  const sandbox: Sandbox =
    options.adapter === "docker"
      ? new DockerSandbox(shared, {
          engineSocket: "/var/run/docker.sock",
          images: { python: "rumi-base-python:dev", node: "rumi-base-node:dev" },
          ...socketOptions,
        })
      : new BubblewrapSandbox(shared, socketOptions);
  const audit = new MemoryAudit();
  const bases = {
    c: join(socketBase, `c${installation.slice(0, INSTALLATION_CHARS)}`),
    e: join(socketBase, `e${installation.slice(0, INSTALLATION_CHARS)}`),
  };
  const gateway = new InstanceGateway(
    {
      capability: options.capability ?? new EchoCapability(),
      egress: options.egress ?? new KeptEgress(),
      audit,
      clock: systemClock,
      logger: silentLogger,
    },
    {
      capability: { base: bases.c, ...rights },
      egress: { base: bases.e, ...egressRights },
      ...(options.requests === undefined ? {} : { requests: options.requests }),
    },
  );
  const specOf = (from: InstanceSeed): InstanceSpec => ({
    instance_id: systemRandom.hex(16),
    purpose: "block",
    pack_id: from.pack_id,
    digest: from.digest,
    runtime: from.runtime,
    authority: from.authority,
    mounts: [
      { source: pack, target: "/pack", read_only: true },
      ...(options.pip === undefined ? [] : [{ source: options.pip, target: "/pip-packages", read_only: true }]),
    ],
    sockets: {},
    limits: { memory_bytes: 256 * MIB, cpus: 1, pids: 128, tmp_bytes: 64 * MIB },
    env: options.proxied?.includes(from.pack_id) === true ? FORWARD_PROXY_ENV : {},
    reuse: from.reuse,
    slots: from.reuse ? 1 : 4,
  });
  const pool = new InstancePool(
    {
      sandbox,
      gateway,
      specs: { create: (from) => Promise.resolve(specOf(from)) },
      beforeStart: () => Promise.resolve(),
      clock: systemClock,
      timers: systemTimers,
      logger: silentLogger,
    },
    options.pool,
  );
  const call: Sandboxed["call"] = async (from, file, input = {}, { timeoutMs = 30_000, chain = ["main"] } = {}) =>
    await pool.run(
      from,
      {
        call_id: systemRandom.hex(16),
        convention: "block",
        file,
        function: null,
        input,
        context: { flow_id: "main", step_id: "step", phase: "main", owner_pack: from.pack_id, inputs: {}, capability_socket: null },
        timeout_ms: timeoutMs,
        max_result_bytes: 4 * MIB,
        max_log_bytes: 256 * 1024,
      },
      new AbortController().signal,
      {
        run_id: "run_1" as RunId,
        flow_id: "main" as FlowId,
        step_id: "step" as StepId,
        phase: "main",
        idempotency_key: `key-${file}`,
        chain: chain as readonly FlowId[],
      },
    );
  return {
    sandbox,
    pool,
    gateway,
    audit,
    seed: (name, runtime, over = {}) => seed({ pack_id: name as PackId, authority: name, runtime, root: pack, ...over }),
    call,
    value: async (from, file, input) => {
      const result = await call(from, file, input);
      if (result.kind !== "ok") throw new Error(`${file}: ${JSON.stringify(result)}`);
      return result.value;
    },
    sockets: async () => (await Promise.all(Object.values(bases).map((base) => readdir(base).catch(() => [])))).flat(),
    [Symbol.asyncDispose]: async () => {
      await pool.close();
      await gateway[Symbol.asyncDispose]();
      await sandbox[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

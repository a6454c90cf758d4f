import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemClock, systemRandom } from "@rumi/core";
import type { Digest, JsonObject, JsonValue, PackId } from "@rumi/core";
import { InstanceSockets, RunnerSession } from "@rumi/sandbox";
import type { InstanceSpec, LogLine, RunResult, RunSpec, Runtime, SessionFault } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { runnerRoot } from "../src/runner-root.ts";

export interface RunnerOptions {
  readonly files: Readonly<Record<string, string>>;
  readonly reuse?: boolean;
  readonly slots?: number;
  readonly spares?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A real runner as a child process of the test, with a pack of `files`. */
export interface StartedRunner extends AsyncDisposable {
  readonly session: RunnerSession;
  readonly pid: number;
  /** The pack's folder. */
  readonly pack: string;
  /** The folder that stands for `/tmp`. */
  readonly temp: string;
  readonly faults: SessionFault[];
  readonly exited: Promise<unknown>;
  call(
    file: string,
    input?: JsonValue,
    options?: Partial<RunSpec> & { signal?: AbortSignal },
  ): Promise<RunResult & { logs: LogLine[]; chunks: JsonValue[] }>;
}

/** How each runtime is started, given the socket. */
export function runnerCommand(runtime: Runtime): [string, string[]] {
  return runtime === "python"
    ? ["python3", ["-I", "-S", "-B", `${runnerRoot()}/python/main.py`]]
    : [process.execPath, [`${runnerRoot()}/node/main.mjs`]];
}

export function instanceSpec(runtime: Runtime, options: { reuse?: boolean; slots?: number }): InstanceSpec {
  return {
    instance_id: systemRandom.hex(16),
    purpose: "block",
    pack_id: "test_pack" as PackId,
    digest: `sha256:${"0".repeat(64)}` as Digest,
    runtime,
    authority: "test_pack",
    mounts: [],
    sockets: {},
    limits: { memory_bytes: 0, cpus: 1, pids: 128, tmp_bytes: 0 },
    env: {},
    reuse: options.reuse ?? false,
    slots: options.slots ?? 4,
  };
}

export const CONTEXT: JsonObject = {
  flow_id: "test_pack.flow",
  step_id: "step",
  phase: "main",
  ts: "2026-01-01T00:00:00.000Z",
  owner_pack: "test_pack",
  inputs: {},
  run_id: "run_1",
  idempotency_key: "key",
  attempt: 1,
  deadline_ts: 0,
  capability_socket: "/run/rumi/capability/capability.sock",
};

export async function startRunner(runtime: Runtime, options: RunnerOptions): Promise<StartedRunner> {
  const folder = await temporaryFolder("rumi-r-");
  const pack = join(folder.path, "pack");
  const temp = join(folder.path, "temp");
  const base = join(folder.path, "s");
  await mkdir(base, { mode: 0o700 });
  await mkdir(temp, { mode: 0o700 });
  for (const [path, text] of Object.entries({ "ecosystem.json": "{}", ...options.files })) {
    await mkdir(dirname(join(pack, path)), { recursive: true });
    await writeFile(join(pack, path), text);
  }
  const spec = instanceSpec(runtime, options);
  const sockets = await InstanceSockets.create(base, spec.instance_id);
  await chmod(sockets.folder, 0o700);
  const [command, args] = runnerCommand(runtime);
  const child = spawn(command, [...args, join(sockets.folder, "runner.sock")], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { PATH: process.env["PATH"], LANG: "C.UTF-8", HOME: temp, TMPDIR: temp, ...options.env },
  });
  const exited = once(child, "exit");
  const faults: SessionFault[] = [];
  const session = await RunnerSession.open(await sockets.runner, {
    spec,
    clock: systemClock,
    onFault: (fault) => faults.push(fault),
    roots: { pack, pip_packages: join(folder.path, "pip"), node_modules: join(folder.path, "node_modules"), temp: [temp] },
    ...(options.spares === undefined ? {} : { spares: options.spares }),
  });
  let calls = 0;
  return {
    session,
    pid: child.pid ?? 0,
    pack,
    temp,
    faults,
    exited,
    call: async (file, input = {}, { signal, ...rest } = {}) => {
      calls += 1;
      const logs: LogLine[] = [];
      const chunks: JsonValue[] = [];
      const result = await session.run(
        {
          call_id: `call-${calls}`,
          convention: "block",
          file,
          function: null,
          input,
          context: CONTEXT,
          timeout_ms: 10_000,
          max_result_bytes: 4 * 1024 * 1024,
          max_log_bytes: 256 * 1024,
          on_log: (line) => logs.push(line),
          on_chunk: (chunk) => chunks.push(chunk),
          ...rest,
        },
        signal,
      );
      return { ...result, logs, chunks };
    },
    [Symbol.asyncDispose]: async () => {
      session.close({ kind: "stopped", message: "the test is over" });
      await sockets[Symbol.asyncDispose]();
      await exited;
      await folder[Symbol.asyncDispose]();
    },
  };
}

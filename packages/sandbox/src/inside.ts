import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "@rumi/core";
import { SOCKET_TARGET } from "./check-mounts.ts";
import { SandboxError } from "./errors.ts";
import type { InstanceSpec, Runtime } from "./ports.ts";

/** User and group inside: nobody. */
export const SANDBOX_ID = 65_534;

/** Most files in `/tmp`. Source: page "Execution", section 4. */
export const TMP_INODES = 16_384;

/** Bytes of `/dev/shm`. Source: page "Execution", section 4. */
export const SHM_BYTES = 16 * MIB;

/** Open files of one process. Source: page "Execution", section 4. */
export const MAX_OPEN_FILES = 256;

/** The search path inside. */
export const SANDBOX_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Where the runner's files are inside. */
export const RUNNER_TARGET = "/runner";

/** The runner's socket inside. */
const RUNNER_SOCKET_PATH = `${SOCKET_TARGET}/runner/runner.sock`;

/** Where PID 1 listens for ordinary HTTP libraries, and what tells them so. Source: page "Execution", sections 4 and 9. */
const FORWARD_PROXY = "http://127.0.0.1:3128";
export const FORWARD_PROXY_ENV: Readonly<Record<string, string>> = {
  http_proxy: FORWARD_PROXY,
  https_proxy: FORWARD_PROXY,
  HTTP_PROXY: FORWARD_PROXY,
  HTTPS_PROXY: FORWARD_PROXY,
  NODE_USE_ENV_PROXY: "1",
};

/** What is PID 1. `-I -S -B`: nothing of the environment, of site folders or of `__pycache__` steers the interpreter. */
export const RUNNER_COMMAND: Readonly<Record<Runtime, readonly string[]>> = {
  python: ["python3", "-I", "-S", "-B", `${RUNNER_TARGET}/python/main.py`, RUNNER_SOCKET_PATH],
  node: ["node", `${RUNNER_TARGET}/node/main.mjs`, RUNNER_SOCKET_PATH],
};

/**
 * The environment of an instance, exactly. Pure.
 * @throws SandboxError `sandbox.start_failed` when `spec.env` would displace one of the fixed names
 */
export function instanceEnvironment(spec: InstanceSpec): Record<string, string> {
  return withEnvironment(
    {
      PATH: SANDBOX_PATH,
      HOME: "/tmp",
      TMPDIR: "/tmp",
      LANG: "C.UTF-8",
      PYTHONPATH: `${RUNNER_TARGET}/python:/pip-packages`,
      RUMI_PACK_ID: spec.pack_id,
      RUMI_EGRESS_SOCKET: `${SOCKET_TARGET}/egress/egress.sock`,
      RUMI_CAPABILITY_SOCKET: `${SOCKET_TARGET}/capability/capability.sock`,
    },
    spec.env,
  );
}

/**
 * `fixed` and what a spec adds to it. Pure.
 * @throws SandboxError `sandbox.start_failed` for a name that is fixed or is no name
 */
export function withEnvironment(fixed: Readonly<Record<string, string>>, extra: Readonly<Record<string, string>>): Record<string, string> {
  for (const [name, value] of Object.entries(extra)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/u.test(name) || value.includes("\0") || Object.hasOwn(fixed, name)) {
      throw new SandboxError("sandbox.start_failed", `the environment name ${JSON.stringify(name)} is refused`);
    }
  }
  return { ...fixed, ...extra };
}

/** True when the user inside can read the runner's files, which a strict umask may have undone. */
export async function isRunnerReadable(runnerRoot: string): Promise<boolean> {
  const modes = await Promise.all(
    ["", "python", "python/main.py", "node", "node/main.mjs"].map(
      async (path) => (await stat(join(runnerRoot, path)).catch(() => null))?.mode ?? 0,
    ),
  );
  return modes.every((mode) => (mode & 0o004) !== 0);
}

/** What is said where it is not so. */
export const RUNNER_UNREADABLE = "the runner's files are not readable for everyone: no instance can start (chmod -R go+rX packages/runner)";

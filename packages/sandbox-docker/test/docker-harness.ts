import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger } from "@rumi/core/testing";
import { systemClock } from "@rumi/core";
import { runnerRoot } from "@rumi/runner";
import type { Difference, SandboxHarness, SuiteOptions } from "@rumi/sandbox/testing";
import { testId } from "@rumi/sandbox/testing";
import { temporaryFolder } from "@rumi/testkit";
import Docker from "dockerode";
import { DockerSandbox } from "../src/index.ts";
import type { DockerSandboxOptions } from "../src/index.ts";

/**
 * The engine the tests use. The contract and escape suites can be pointed at another engine, OCI runtime or Node image by hand:
 * `RUMI_TEST_ENGINE_SOCKET`, `RUMI_TEST_OCI_RUNTIME`, `RUMI_TEST_NODE_IMAGE`.
 */
export const ENGINE_SOCKET = process.env["RUMI_TEST_ENGINE_SOCKET"] ?? "/var/run/docker.sock";
const OCI_RUNTIME = process.env["RUMI_TEST_OCI_RUNTIME"];
const NODE_IMAGE = process.env["RUMI_TEST_NODE_IMAGE"] ?? "rumi-base-node:dev";

/** What gVisor keeps less of than the contract: of Debian's runsc of December 2022, platform ptrace (`tools/runsc-up.sh`). */
const RUNSC_DIFFERENCES: readonly Difference[] = [
  "unfiltered",
  "killable_runner",
  "inspectable_runner",
  "memory_ends_instance",
  "processes_end_instance",
  "files_unlimited",
];

const IS_RUNSC = OCI_RUNTIME === "runsc";

/** How the suites run with `reuse` on the engine and runtime under test: whole, but under `runsc`. */
export const REUSE: SuiteOptions = { reuse: true, ...(IS_RUNSC ? { differences: RUNSC_DIFFERENCES } : {}) };

/** The same for single-use calls: there runsc's own threads need room beside those of several processes of Node. */
export const SINGLE_USE: SuiteOptions = IS_RUNSC ? { differences: RUNSC_DIFFERENCES, limits: { pids: 512 } } : {};

/** The folder of the hostile example packs. */
export const HOSTILE_PACKS = new URL("../../../examples/packs", import.meta.url).pathname;

export interface DockerHarness extends SandboxHarness {
  readonly sandbox: DockerSandbox;
  readonly docker: Docker;
  readonly installation: string;
  /** Another sandbox over the same folders: a daemon that was started again. */
  readonly again: (options?: Partial<DockerSandboxOptions>, installation?: string) => DockerSandbox;
}

/** A sandbox of an installation of its own, and what it must not leave. */
export async function dockerHarness(options: Partial<DockerSandboxOptions> = {}): Promise<DockerHarness> {
  const folder = await temporaryFolder("rumi-sb-");
  const installation = testId();
  const socketBase = join(folder.path, "s");
  const packs = join(folder.path, "packs");
  for (const path of [socketBase, packs]) await mkdir(path, { mode: 0o700 });
  // The undefined host keeps dockerode from following DOCKER_HOST.
  const docker = new Docker({ socketPath: ENGINE_SOCKET, host: undefined, protocol: "http" });
  const again = (over: Partial<DockerSandboxOptions> = {}, of = installation): DockerSandbox =>
    new DockerSandbox(
      {
        installation: of,
        socketBase,
        runnerRoot: runnerRoot(),
        userData: join(folder.path, "user_data"),
        clock: systemClock,
        logger: silentLogger,
      },
      {
        engineSocket: ENGINE_SOCKET,
        images: { python: "rumi-base-python:dev", node: NODE_IMAGE },
        ...(OCI_RUNTIME === undefined ? {} : { ociRuntime: OCI_RUNTIME }),
        ...options,
        ...over,
      },
    );
  return {
    sandbox: again(),
    docker,
    installation,
    folder: packs,
    again,
    leftovers: async () => {
      const held = await docker.listContainers({ all: true, filters: { label: [`rumi.installation=${installation}`] } });
      const sockets = await readdir(join(socketBase, installation.slice(0, 8))).catch(() => []);
      return [...held.flatMap((container) => container.Names), ...sockets];
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

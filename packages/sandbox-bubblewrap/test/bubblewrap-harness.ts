import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { runnerRoot } from "@rumi/runner";
import type { SandboxHarness } from "@rumi/sandbox/testing";
import { testId } from "@rumi/sandbox/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterAll } from "vitest";
import { BubblewrapSandbox } from "../src/index.ts";
import type { BubblewrapSandboxOptions } from "../src/index.ts";

/** The folder of the hostile example packs. */
export const HOSTILE_PACKS = new URL("../../../examples/packs", import.meta.url).pathname;

/** One home for all tests of a file, so that roots are unpacked once. */
const USER_DATA = join(tmpdir(), `rumi-bw-home-${testId()}`);

afterAll(async () => await rm(USER_DATA, { recursive: true, force: true }));

export interface BubblewrapHarness extends SandboxHarness {
  readonly sandbox: BubblewrapSandbox;
  readonly installation: string;
  readonly userData: string;
  /** Another sandbox over the same folders: a daemon that was started again. */
  readonly again: (options?: Partial<BubblewrapSandboxOptions>, installation?: string) => BubblewrapSandbox;
  /** Folders of this installation's control groups. */
  readonly groups: () => Promise<readonly string[]>;
  /** Host pids in the control groups of an instance. */
  readonly pids: (instanceId: string) => Promise<readonly number[]>;
}

/** A sandbox of an installation of its own, and what it must not leave. */
export async function bubblewrapHarness(options: Partial<BubblewrapSandboxOptions> = {}): Promise<BubblewrapHarness> {
  const folder = await temporaryFolder("rumi-sb-");
  const installation = testId();
  const socketBase = join(folder.path, "s");
  const packs = join(folder.path, "packs");
  for (const path of [socketBase, packs]) await mkdir(path, { mode: 0o700 });
  const again = (over: Partial<BubblewrapSandboxOptions> = {}, of = installation): BubblewrapSandbox =>
    new BubblewrapSandbox(
      { installation: of, socketBase, runnerRoot: runnerRoot(), userData: USER_DATA, clock: systemClock, logger: silentLogger },
      { ...options, ...over },
    );
  const groups = async (): Promise<string[]> => {
    const found: string[] = [];
    for (const controller of ["", "memory", "pids", "cpu", "freezer"]) {
      const base = join("/sys/fs/cgroup", controller, `rumi-${installation.slice(0, 16)}`);
      for (const name of await readdir(base).catch(() => [])) {
        if ((await stat(join(base, name))).isDirectory()) found.push(join(base, name));
      }
    }
    return found;
  };
  return {
    sandbox: again(),
    installation,
    userData: USER_DATA,
    folder: packs,
    again,
    groups,
    pids: async (instanceId) => {
      const lists = await Promise.all(
        (await groups())
          .filter((path) => path.endsWith(instanceId))
          .map((path) => readFile(join(path, "cgroup.procs"), "latin1").catch(() => "")),
      );
      return [...new Set(lists.flatMap((text) => text.split("\n").filter(Boolean).map(Number)))].sort((a, b) => a - b);
    },
    leftovers: async () => {
      const sockets = await readdir(join(socketBase, installation.slice(0, 8))).catch(() => []);
      return [...(await groups()), ...sockets.filter((name) => name !== "stage")];
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import { RumiError, systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { BlockInstanceSpecs, InstancePool, systemTimers } from "@rumi/pack-runtime";
import type { Gateway } from "@rumi/pack-runtime";
import { runnerRoot } from "@rumi/runner";
import type { InstanceLimits } from "@rumi/sandbox";
import { DockerSandbox } from "@rumi/sandbox-docker";
import { temporaryFolder } from "@rumi/testkit";
import { ENGINE_SOCKET, IMAGE, NODE_IMAGE } from "./docker-harness.ts";

export const LIMITS: InstanceLimits = { memory_bytes: 268_435_456, cpus: 1, pids: 128, tmp_bytes: 67_108_864 };

/** Approved packs, a real sandbox, and a pool over it. */
export interface SandboxHouse extends AsyncDisposable {
  readonly home: TestApprovals;
  readonly sandbox: DockerSandbox;
  readonly pool: InstancePool;
  /** Puts a pack in place and approves it. */
  approve(id: string, files: Readonly<Record<string, string>>): Promise<void>;
}

/** With `gateway`, the instances of the pool get their capability and egress sockets. */
export async function openSandboxHouse(
  gateway?: (home: TestApprovals, socketBase: string) => Gateway & AsyncDisposable,
): Promise<SandboxHouse> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.use(await temporaryFolder("rumi-cc-"));
  const home = opening.use(await openTestApprovals(folder.path));
  const socketBase = join(folder.path, "s");
  await mkdir(socketBase, { mode: 0o700 });
  const sandbox = opening.use(
    new DockerSandbox(
      {
        installation: systemRandom.hex(16),
        socketBase,
        runnerRoot: runnerRoot(),
        userData: home.userData,
        clock: systemClock,
        logger: silentLogger,
      },
      { engineSocket: ENGINE_SOCKET, images: { python: IMAGE, node: NODE_IMAGE } },
    ),
  );
  const sockets = gateway === undefined ? {} : { gateway: opening.use(gateway(home, socketBase)) };
  const pool = opening.use(
    new InstancePool({
      sandbox,
      specs: new BlockInstanceSpecs({ random: systemRandom }, { userData: home.userData, limits: LIMITS, slots: 4 }),
      beforeStart: async (seed) => {
        const verified = await home.approvals.verifySnapshot(seed.pack_id, seed.digest);
        if (!verified.allowed) throw new RumiError(verified.code, verified.reason);
      },
      ...sockets,
      timers: systemTimers,
      clock: systemClock,
      logger: silentLogger,
    }),
  );
  const kept = opening.move();
  return {
    home,
    sandbox,
    pool,
    approve: async (id, files) => {
      await home.putPack(id, files);
      await home.approvals.approve(id, { actor: "test" });
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

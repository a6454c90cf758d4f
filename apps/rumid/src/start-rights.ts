import type { PackId } from "@rumi/core";
import type { Composition } from "./compose.ts";
import { PART } from "./parts.ts";

/** How often rights that end by themselves are looked at, ms. */
const LOOK_MS = 5_000;

/** The parts of rights, in service. */
export interface StartedRights extends Disposable {
  /** A pack was approved, closed or changed: what it brings is read anew, what it holds beyond its instances goes. */
  packChanged(packId: PackId): Promise<void>;
}

/** Loads every right, and keeps the instances of packs in step with their network grants. The approvals have been started. */
export async function startRights(parts: Composition): Promise<StartedRights> {
  const approvals = parts.get(PART.approvals);
  const pool = parts.get(PART.pool);
  const network = parts.get(PART.network);
  const containers = parts.get(PART.containers);
  await Promise.all([
    parts.get(PART.grants).load(),
    parts.get(PART.privileges).load(),
    parts.get(PART.trust).load(),
    parts.get(PART.stores).load(),
  ]);
  const reload = async (): Promise<void> => {
    await Promise.all([parts.get(PART.functionCatalog).reload(), parts.get(PART.packHandlers).reload()]);
  };
  await reload();
  await parts.get(PART.gateway).sweep();
  await containers?.sweep();

  // An instance is told of the forward proxy when it starts: the first and the last network grant begin a new one.
  const standing = new Map<PackId, boolean>();
  const look = (): void => {
    for (const { pack_id: id } of approvals.list()) {
      const packId = id as PackId;
      const has = network.hasNetwork(packId);
      const had = standing.get(packId) ?? has;
      standing.set(packId, has);
      if (had !== has) void pool.drain({ pack_id: packId });
    }
  };
  look();
  const forget = parts.get(PART.grants).onChange(() => look());
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return {
    async packChanged(packId) {
      standing.set(packId, network.hasNetwork(packId));
      await Promise.all([reload(), approvals.gate(packId).allowed ? undefined : containers?.removeOf(packId)]);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      forget();
    },
  };
}

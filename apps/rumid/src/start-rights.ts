import type { ApprovedPack } from "@rumi/approval";
import type { Digest, PackId, PermissionId } from "@rumi/core";
import type { SecretStore } from "@rumi/secrets";
import { BindingYes } from "./binding-yes.ts";
import type { Composition } from "./compose.ts";
import { PART } from "./parts.ts";

/** How often rights that end by themselves are looked at, ms. */
const LOOK_MS = 5_000;
/** How often containers that nobody owns any more are removed, ms. Source: page "Execution", section 5. */
const SWEEP_MS = 60_000;

/** The parts of rights, in service. */
export interface StartedRights extends Disposable {
  /** A pack was approved, closed or changed: what it brings is read anew, what it holds beyond its instances goes. */
  packChanged(packId: PackId): Promise<void>;
}

/** Loads every right, and keeps the instances of packs in step with their network grants. The approvals have been started. */
export async function startRights(parts: Composition, secrets: SecretStore): Promise<StartedRights> {
  const { clock, logger } = parts.get(PART.foundations);
  const approvals = parts.get(PART.approvals);
  const pool = parts.get(PART.pool);
  const network = parts.get(PART.network);
  const containers = parts.get(PART.containers);
  await Promise.all([
    parts.get(PART.grants).load(),
    parts.get(PART.privileges).load(),
    parts.get(PART.trust).load(),
    parts.get(PART.stores).load(),
    parts.get(PART.dictionary).load(),
  ]);
  const reload = async (): Promise<void> => {
    await Promise.all([
      parts.get(PART.functionCatalog).reload(),
      parts.get(PART.packHandlers).reload(),
      parts.get(PART.vocabulary).reload(),
    ]);
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
  const grants = parts.get(PART.grants);
  // Containers that a pack left running end with the right to have any, its children's too.
  const endContainers = (principal: PackId): void => {
    const heirs = approvals.list().map(({ pack_id: id }) => id as PackId);
    for (const id of heirs.filter((heir) => heir === principal || heir.startsWith(`${principal}__`))) {
      if (grants.effective(id, "docker.run" as PermissionId).allowed) continue;
      containers
        ?.removeOf(id)
        .catch((cause: unknown) => logger.log("warn", "containers of a pack could not be removed", { pack_id: id, error: String(cause) }));
    }
  };
  const yes = new BindingYes({ grants, watch: secrets.watch, clock });
  const forget = grants.onChange(({ principal_id: principal, permission_id: permission }) => {
    look();
    if (permission === "docker.run") endContainers(principal);
    if (permission !== "secrets.use") return;
    yes.changed(principal).catch((cause: unknown) => logger.log("warn", "a binding could not be lifted", { error: String(cause) }));
  });
  // Who may change every flow is part of what the flows are.
  const deaf = parts.get(PART.privileges).onChange(async (privilege) => {
    if (privilege === "allow_wildcard_modifiers") await parts.get(PART.catalog).reload();
  });
  // A yes to other bytes runs their lib at once. What is approved already waits for the start-up flow; nobody waits for a lib.
  const libs = parts.get(PART.libs);
  const known = new Map<PackId, Digest>(approvals.approved().map((pack) => [pack.pack_id, pack.digest]));
  const runLib = (packId: PackId): void => {
    const gate = approvals.gate(packId);
    const was = known.get(packId);
    libs.packChanged(packId);
    if (!gate.allowed) return void known.delete(packId);
    known.set(packId, gate.digest);
    if (was === gate.digest) return;
    libs.process(packId).catch((cause: unknown) => logger.log("error", "the lib of a pack was not dealt with", { error: String(cause) }));
  };
  // An operator's yes makes the stores itself, to tell of them.
  const declareStores = async ({ pack_id: packId, pack }: ApprovedPack): Promise<void> => {
    if (approvals.origin(packId) !== "operator") await parts.get(PART.stores).declare(packId, pack.manifest.stores);
  };
  for (const pack of approvals.approved()) {
    await declareStores(pack).catch((cause: unknown) =>
      logger.log("error", "stores could not be made", { pack_id: pack.pack_id, error: String(cause) }),
    );
  }
  const timers = [
    setInterval(look, LOOK_MS),
    setInterval(() => {
      containers?.sweep().catch((cause: unknown) => logger.log("warn", "containers of packs could not be swept", { error: String(cause) }));
    }, SWEEP_MS),
  ];
  for (const timer of timers) timer.unref();
  return {
    async packChanged(packId) {
      standing.set(packId, network.hasNetwork(packId));
      if (approvals.describe(packId) === null) parts.get(PART.reports).forget(packId);
      runLib(packId);
      const gate = approvals.gate(packId);
      await Promise.all([reload(), gate.allowed ? declareStores(gate) : containers?.removeOf(packId)]);
    },
    [Symbol.dispose]() {
      for (const timer of timers) clearInterval(timer);
      forget();
      deaf();
    },
  };
}

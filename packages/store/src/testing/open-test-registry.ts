import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { AuditEvent } from "@rumi/core";
import { ManualClock, MemoryAudit, MemoryDiagnostics } from "@rumi/core/testing";
import { Keyring, SignedFiles } from "@rumi/safe-files";
import { MemoryKvStore } from "../memory-kv-store.ts";
import type { KvStore } from "../ports.ts";
import { StoreRegistry } from "../store-registry.ts";

/** A registry over a real home folder, loaded. */
export interface TestRegistry {
  readonly registry: StoreRegistry;
  readonly kv: KvStore;
  readonly audit: MemoryAudit;
  readonly diagnostics: MemoryDiagnostics;
  readonly userData: string;
  /** `category action` of the audit entries so far, in order. */
  readonly acts: () => string[];
  readonly lastEvent: () => AuditEvent | undefined;
}

/** Opens the home in `folder`. Open it again with the same `kv` to see a restart. */
export async function openTestRegistry(folder: string, kv: KvStore = new MemoryKvStore()): Promise<TestRegistry> {
  const userData = join(folder, "user_data");
  await mkdir(join(userData, "permissions"), { recursive: true, mode: 0o700 });
  const keyring = await Keyring.open(join(userData, "permissions", ".secret_key"));
  const signed = new SignedFiles({ keyring, indexPath: join(userData, "permissions", "revisions.json") });
  await signed.load();
  const audit = new MemoryAudit();
  const diagnostics = new MemoryDiagnostics();
  const registry = new StoreRegistry({ kv, signed, userData, audit, diagnostics, clock: new ManualClock() });
  await registry.load();
  return {
    registry,
    kv,
    audit,
    diagnostics,
    userData,
    acts: () => audit.events.map(({ category, action }) => `${category} ${action}`),
    lastEvent: () => audit.events.at(-1),
  };
}

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { AuditEvent, AuditSink, Clock, Decision, ErrorCode, JsonObject, PackId, PermissionId } from "@rumi/core";
import { ManualClock, MemoryAudit, MemoryDiagnostics } from "@rumi/core/testing";
import { Keyring, SignedFiles } from "@rumi/safe-files";
import { GrantBook } from "../grant-book.ts";
import { createGrantSpecs } from "../grant-specs.ts";
import { NetworkGrants } from "../network-grants.ts";
import type { CallerGate } from "../ports.ts";
import { MemoryUseCounters, type UseCounters } from "../use-counters.ts";

export interface TestGrantsOptions {
  readonly clock?: Clock;
  readonly audit?: AuditSink;
  readonly uses?: UseCounters;
  /** What packs declare, by pack id. A pack that is not in it is unknown; left out: every pack is known and declares nothing. */
  readonly declared?: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>;
  /** Permissions of installed handlers. */
  readonly handlers?: readonly string[];
}

/** A grant book over a real home folder, loaded, with everything else in memory. */
export interface TestGrants {
  readonly grants: GrantBook;
  readonly network: NetworkGrants;
  readonly gate: SwitchGate;
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: MemoryAudit;
  readonly diagnostics: MemoryDiagnostics;
  readonly clock: Clock;
  /** Grants as `operator`. */
  readonly give: (principal: string, permission: string, config?: JsonObject, expires_at?: string) => Promise<void>;
  /** Audit events of one category. */
  readonly events: (category: AuditEvent["category"]) => AuditEvent[];
}

/** A gate that is open but for the packs that were closed. */
export class SwitchGate implements CallerGate {
  readonly closed = new Set<string>();

  gate(packId: PackId): Decision<object, ErrorCode> {
    if (!this.closed.has(packId)) return { allowed: true };
    return { allowed: false, code: "approval.modified", reason: `${packId} was modified` };
  }
}

/** Opens the home in `folder`, making it at first. Open it again to see a restart. */
export async function openTestGrants(folder: string, options: TestGrantsOptions = {}): Promise<TestGrants> {
  const { clock = new ManualClock(), declared, handlers = [] } = options;
  const userData = join(folder, "user_data");
  await mkdir(join(userData, "permissions"), { recursive: true, mode: 0o700 });
  const keyring = await Keyring.open(join(userData, "permissions", ".secret_key"));
  const signed = new SignedFiles({ keyring, indexPath: join(userData, "permissions", "revisions.json") });
  await signed.load();
  const audit = new MemoryAudit();
  const diagnostics = new MemoryDiagnostics();
  const grants = new GrantBook({
    signed,
    userData,
    audit: options.audit ?? audit,
    diagnostics,
    clock,
    uses: options.uses ?? new MemoryUseCounters(),
    specs: createGrantSpecs({ isHandler: (permission) => handlers.includes(permission) }),
    isKnownPack: (id) => declared === undefined || Object.hasOwn(declared, id),
    declared: {
      declared: (id) => {
        const wishes = declared === undefined || !Object.hasOwn(declared, id) ? undefined : declared[id];
        return wishes === undefined ? null : new Map(Object.entries(wishes) as [PermissionId, JsonObject][]);
      },
    },
  });
  await grants.load();
  const gate = new SwitchGate();
  return {
    grants,
    network: new NetworkGrants({ grants, gate }),
    gate,
    signed,
    userData,
    audit,
    diagnostics,
    clock,
    give: async (principal_id, permission_id, config = {}, expires_at) => {
      await grants.grant({ principal_id, permission_id, config, actor: "operator", ...(expires_at === undefined ? {} : { expires_at }) });
    },
    events: (category) => audit.events.filter((event) => event.category === category),
  };
}

import { join } from "node:path";
import { PackId, principalChain, StoreId } from "@rumi/core";
import type { AuditEvent, AuditSink, DiagnosticsSink } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";

/** What a consumer may do in a shared store. */
export const ShareMode = v.picklist(["read", "read_write"]);
export type ShareMode = v.InferOutput<typeof ShareMode>;

/** An operator's yes: `consumer_pack_id` may use `store_id` of `provider_pack_id`, as far as its grants go. */
export const Share = v.object({
  provider_pack_id: PackId,
  consumer_pack_id: PackId,
  store_id: StoreId,
  mode: ShareMode,
  approved_at: v.string(),
  approved_by: v.string(),
});
export type Share = v.InferOutput<typeof Share>;

const SharingFile = v.object({ shares: v.array(Share) });

/**
 * The first level of `principal` that may not do so in a store of `owner`; null when all may. A level needs a share unless it
 * is the owner, or an ancestor of principal and owner both: what a child may, its parents up to the owner's may.
 */
export function missingShare(
  shares: readonly Share[],
  ask: { readonly principal: PackId; readonly owner: PackId; readonly store: string; readonly want: "read" | "write" },
): PackId | null {
  const { principal, owner, store, want } = ask;
  if (principal === owner) return null;
  const above = new Set(principalChain(owner));
  const needs = principalChain(principal).filter((level) => level === principal || !above.has(level));
  const holds = (level: PackId): boolean =>
    shares.some(
      (share) =>
        share.provider_pack_id === owner &&
        share.consumer_pack_id === level &&
        share.store_id === store &&
        (want === "read" || share.mode === "read_write"),
    );
  return needs.find((level) => !holds(level)) ?? null;
}

/** The signed file of shares, `stores/sharing.json`. One that cannot be believed holds none. */
export class ShareBook {
  readonly #deps: { readonly signed: SignedFiles; readonly audit: AuditSink; readonly diagnostics: DiagnosticsSink };
  readonly #path: string;
  #shares: readonly Share[] = [];

  constructor(deps: {
    readonly signed: SignedFiles;
    readonly audit: AuditSink;
    readonly diagnostics: DiagnosticsSink;
    readonly userData: string;
  }) {
    this.#deps = deps;
    this.#path = join(deps.userData, "stores", "sharing.json");
  }

  /** Shares that hold now. */
  get all(): readonly Share[] {
    return this.#shares;
  }

  async load(): Promise<void> {
    const read = await this.#deps.signed.read("sharing", "-", this.#path);
    const parsed = v.safeParse(SharingFile, read.state === "ok" ? read.value : { shares: [] });
    this.#shares = parsed.success ? parsed.output.shares : [];
    if (read.state === "tampered") await this.#reportTampered(read.reason);
    else if (!parsed.success) await this.#reportTampered("the file is not in its form");
  }

  /** Audits `event`, then keeps `shares` instead of those there are. @throws RumiError `audit.unavailable`: nothing changed */
  async replace(shares: readonly Share[], event: AuditEvent): Promise<void> {
    await this.#deps.signed.write("sharing", "-", this.#path, { shares }, () => this.#deps.audit.record(event));
    this.#shares = shares;
    this.#deps.diagnostics.report({ kind: "store_shares", id: "sharing.json", status: "ok", message: `${shares.length} shares` });
  }

  async #reportTampered(reason: string): Promise<void> {
    const part = { kind: "store_shares", id: "sharing.json", status: "failed", code: "safe_files.record_tampered" } as const;
    const message = `no share of a store holds until it is approved again: ${reason}`;
    this.#deps.diagnostics.report({ ...part, message, remedy: "rumi store list --shared" });
    const details = { kind: "sharing", reason };
    await this.#deps.audit.record({ category: "security", severity: "critical", action: "record_tampered", success: false, details });
  }
}

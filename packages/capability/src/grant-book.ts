import type { AuditSink, Clock, Decision, DiagnosticsSink, JsonObject, PackId, PermissionId } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import type { CapabilityErrorCode } from "./errors.ts";
import type { BatchAnswer, Grant, GrantAnswer, GrantAsk, GrantChange } from "./grant.ts";
import type { GrantSpecs } from "./grant-specs.ts";
import type { DeclaredRights } from "./ports.ts";
import type { UseCounters, UseLevel } from "./use-counters.ts";

export interface GrantBookDeps {
  /** Loaded already. */
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly declared: DeclaredRights;
  readonly isKnownPack: (id: PackId) => boolean;
  readonly specs: GrantSpecs;
  readonly uses: UseCounters;
}

/** A right at work: what all levels together allow. */
export interface EffectiveGrant {
  /** Folded, defaults filled in. Frozen. */
  readonly config: JsonObject;
  /** Limits of each level, for `take`. */
  readonly levels: readonly UseLevel[];
}

/** Who holds which right. Kept in signed files, one per principal; judged from memory. */
export class GrantBook {
  readonly #deps: GrantBookDeps;
  constructor(deps: GrantBookDeps) {
    this.#deps = deps;
  }
  /** Reads every file. A tampered one: that principal holds nothing of its kind until `reset`. */
  load(): Promise<void> {
    throw new Error(`to be filled in ${typeof this.#deps}`);
  }
  /** @throws CapabilityError `capability.invalid_config`, SafeFilesError `safe_files.record_tampered` `locked`, RumiError `audit.unavailable`: nothing changed */
  grant(_ask: GrantAsk): Promise<GrantAnswer> {
    throw new Error("to be filled in");
  }
  /** `permission_id` `"*"`: all of them, network too. @throws CapabilityError `capability.grant_not_found` */
  revoke(_ask: {
    readonly principal_id: string;
    readonly permission_id: string;
    readonly reason?: string;
    readonly actor: string;
  }): Promise<{ revoked: number }> {
    throw new Error("to be filled in");
  }
  /** Each for itself. @throws CapabilityError `capability.batch_too_large`: none was granted */
  batch(_grants: readonly Omit<GrantAsk, "actor">[], _actor: string): Promise<BatchAnswer> {
    throw new Error("to be filled in");
  }
  /** Drops the tampered files of a principal, so that it may be granted rights anew. @throws CapabilityError `capability.grant_not_found` when none is */
  reset(_principalId: string, _actor: string): Promise<{ principal_id: PackId; reset: ("capabilities" | "network")[] }> {
    throw new Error("to be filled in");
  }
  /** Every grant, network too, by principal. */
  list(_principal?: string): Record<string, Grant[]> {
    throw new Error("to be filled in");
  }
  /** Principals whose files were tampered with. */
  tampered(): readonly PackId[] {
    throw new Error("to be filled in");
  }
  /** What all levels together allow now; expiry is judged now. `permission` may be an alias. Memory only. */
  effective(_principal: PackId, _permission: PermissionId): Decision<EffectiveGrant, CapabilityErrorCode> {
    throw new Error("to be filled in");
  }
  /** Takes one use of a right that `effective` gave: false when a limit is reached. Also notes it for the listing. */
  take(_principal: PackId, _permission: PermissionId, _grant: EffectiveGrant): boolean {
    throw new Error("to be filled in");
  }
  onChange(_listener: (change: GrantChange) => void): () => void {
    throw new Error("to be filled in");
  }
}

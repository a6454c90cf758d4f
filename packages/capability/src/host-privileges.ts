import type { AuditSink, Clock, DiagnosticsSink, PackId } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";

/** Host powers of a pack that only an admin gives. Source: page "Trust", section 6. */
export const HOST_PRIVILEGES = ["host.execute", "host.mount", "allow_wildcard_modifiers"] as const;
export type HostPrivilege = (typeof HOST_PRIVILEGES)[number];

/** One folder of the host that a pack's handlers may see. */
export interface HostMount {
  readonly source: string;
  /** Below `/mnt`. */
  readonly target: string;
  readonly read_only: boolean;
}

export interface PrivilegeView {
  readonly privilege: HostPrivilege;
  /** `host.execute`: ids; `host.mount`: mounts; else null. */
  readonly config: readonly string[] | readonly HostMount[] | null;
  readonly granted_at: string;
  readonly granted_by: string;
}

export interface HostPrivilegesDeps {
  readonly signed: SignedFiles;
  readonly userData: string;
  /** Folders that no mount may show, nor lie around: the project and `user_data`. */
  readonly forbiddenSources: readonly string[];
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** Host powers that an admin gave to packs. A tampered file: none held. */
export class HostPrivileges {
  readonly #deps: HostPrivilegesDeps;
  constructor(deps: HostPrivilegesDeps) {
    this.#deps = deps;
  }
  load(): Promise<void> {
    throw new Error(`to be filled in ${typeof this.#deps}`);
  }
  /** `config`: list of ids, list of mounts, or nothing. Replaces. @throws CapabilityError `capability.invalid_config` */
  grant(_pack: string, _privilege: string, _config: unknown, _actor: string): Promise<PrivilegeView & { warnings: readonly string[] }> {
    throw new Error("to be filled in");
  }
  /** @throws CapabilityError `capability.grant_not_found` */
  revoke(_pack: string, _privilege: string, _actor: string): Promise<void> {
    throw new Error("to be filled in");
  }
  list(): { pack_id: PackId; privileges: PrivilegeView[] }[] {
    throw new Error("to be filled in");
  }
  has(_pack: PackId, _privilege: HostPrivilege): boolean {
    throw new Error("to be filled in");
  }
  /** May this handler or unit of the pack run on the host? */
  mayExecute(_pack: PackId, _id: string): boolean {
    throw new Error("to be filled in");
  }
  mounts(_pack: PackId): readonly HostMount[] {
    throw new Error("to be filled in");
  }
}

/** What decides whether a developer's own packs approve themselves. Read from the environment by the daemon. */
export interface DevApproval {
  /** `RUMI_ENVIRONMENT` is `development`. */
  readonly development: boolean;
  /** `RUMI_AUTO_APPROVE_LOCAL` is `true`. */
  readonly autoApproveLocal: boolean;
  /** The daemon runs in permissive mode. */
  readonly permissive: boolean;
  /** The home is the `.rumi-dev` one that `rumi dev` made. */
  readonly devHome: boolean;
}

/** No pack ever approves itself. */
export const NO_DEV_APPROVAL: DevApproval = { development: false, autoApproveLocal: false, permissive: false, devHome: false };

/** Whether this daemon may approve a developer's packs by itself at all. Source: page "Trust", section 5. */
export function isDevApprovalOn(rule: DevApproval): boolean {
  return rule.devHome || (rule.development && rule.autoApproveLocal && rule.permissive);
}

/** What is looked at of one pack. */
export interface DevCandidate {
  readonly status: string;
  readonly reason: string | null;
  readonly pack_identity: string;
  readonly imported: boolean;
}

/** Reasons of `modified` that only an operator may mend. */
const NEVER_BY_ITSELF: ReadonlySet<string> = new Set(["record_tampered", "snapshot_corrupt"]);

/** Whether this pack may be approved by itself: a local one, not imported, waiting, and not tampered with. */
export function mayApproveItself(rule: DevApproval, pack: DevCandidate): boolean {
  return (
    isDevApprovalOn(rule) &&
    pack.pack_identity.startsWith("local:") &&
    !pack.imported &&
    (pack.status === "installed" || pack.status === "modified") &&
    !(pack.reason !== null && NEVER_BY_ITSELF.has(pack.reason))
  );
}

import { verifyAudit } from "@rumi/audit";
import type { AuditVerification } from "@rumi/audit";
import { Keyring } from "@rumi/safe-files";
import type { Config } from "./config.ts";
import { homePaths } from "./home.ts";
import type { HomePaths } from "./home.ts";
import type { Output } from "./output.ts";

/** Context of the key that chains audit entries. Source: page "Trust", section 3. */
export const AUDIT_KEY_INFO = "rumi/audit/v1";

/** Judges the audit log on disk without a daemon; touches nothing. @throws SafeFilesError when the key is gone */
export async function verifyHomeAudit(paths: HomePaths): Promise<AuditVerification> {
  const keyring = await Keyring.open(paths.signingKey, { mustExist: true });
  return verifyAudit({ folder: paths.audit, headsPath: paths.auditHeads, keys: new Map([[keyring.kid, keyring.derive(AUDIT_KEY_INFO)]]) });
}

/** The verb `audit verify`: 0 when the chain is whole, 1 when not. */
export async function verifyAuditOffline(config: Config, output: Output): Promise<number> {
  const verdict = await verifyHomeAudit(homePaths(config.home, config.signingKeyFile));
  const { first_bad: bad } = verdict;
  output.line(
    verdict.ok
      ? `the audit log is whole: ${verdict.entries} entries, ${verdict.heads} signed heads`
      : `the audit log does not hold at entry ${bad?.seq ?? "?"}: ${bad?.kind ?? "unknown"}`,
  );
  output.envelope({
    success: verdict.ok,
    data: verdict,
    error: verdict.ok ? null : "the audit log does not hold",
    code: verdict.ok ? null : "audit.chain_broken",
  });
  return verdict.ok ? 0 : 1;
}

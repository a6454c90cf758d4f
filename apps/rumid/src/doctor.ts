import type { Config } from "./config.ts";
import { engineChecks } from "./doctor-engine.ts";
import { homeChecks } from "./doctor-home.ts";
import { machineChecks } from "./doctor-machine.ts";
import { rightsChecks } from "./doctor-rights.ts";
import type { Finding } from "./finding.ts";
import { homePaths } from "./home.ts";
import type { Output } from "./output.ts";

const MARKS = { ok: "ok  ", warn: "warn", fail: "FAIL" } as const;

/** Looks at everything, changes nothing. `machine`: only what needs no home. Answers 1 when anything fails. */
export async function runDoctor(config: Config, extent: "machine" | "all", output: Output): Promise<number> {
  const paths = homePaths(config.home, config.signingKeyFile);
  const findings: Finding[] = [...(await machineChecks(config, paths)), ...(await engineChecks(config, paths))];
  if (extent === "all") findings.push(...(await homeChecks(config, paths)), ...(await rightsChecks(config, paths)));
  for (const finding of findings) {
    output.line(`${MARKS[finding.status]}  ${finding.id.padEnd(18)} ${finding.message}`);
    if (finding.remedy !== null) output.line(`${" ".repeat(25)}${finding.remedy}`);
  }
  const failed = findings.filter((finding) => finding.status === "fail").length;
  const warned = findings.filter((finding) => finding.status === "warn").length;
  output.line(failed === 0 ? `well${warned === 0 ? "" : `, with ${warned} to know of`}` : `${failed} to mend`);
  output.envelope({
    success: failed === 0,
    data: { checks: findings },
    error: failed === 0 ? null : `${failed} checks failed`,
    code: failed === 0 ? null : "doctor.failed",
  });
  return failed === 0 ? 0 : 1;
}

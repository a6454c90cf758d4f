import type { PackState } from "@rumi/api/client";
import { packLine } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";

/** A problem with its pack, as page 20 section 14 lists them. */
interface Finding {
  readonly code: string;
  readonly pack_id: string;
  readonly file: string | null;
  readonly message: string;
  readonly remedy: string | null;
}

/** Lists the problems that the daemon sees in the pack folders. Errors make the exit code 1. */
export async function validatePacks(session: Session, id: string | undefined): Promise<number> {
  const scanned = id === undefined ? await session.client.call("packs.list", { query: { limit: 1000 } }) : null;
  if (scanned !== null && !scanned.ok) return session.finish(scanned, () => undefined);
  const ids = id === undefined ? (scanned?.data.packs ?? []).map((pack) => pack.pack_id) : [id];
  const errors: Finding[] = [];
  const warnings: Finding[] = [];
  let valid = 0;
  for (const packId of ids) {
    const state = await session.client.call("packs.status", { params: { id: packId } });
    if (!state.ok) {
      if (id !== undefined) return session.finish(state, () => undefined);
      errors.push({ code: state.code, pack_id: packId, file: null, message: state.error, remedy: null });
      continue;
    }
    const found = state.data.problems.map((problem) => ({ severity: problem.severity ?? "error", finding: findingOf(packId, problem) }));
    const faults = found.filter((item) => item.severity === "error");
    if (faults.length === 0) valid += 1;
    errors.push(...faults.map((item) => item.finding));
    warnings.push(...found.filter((item) => item.severity === "warning").map((item) => item.finding));
  }
  const report = { errors, warnings, pack_count: ids.length, valid_count: valid };
  session.local(report, () => {
    for (const finding of errors) session.line(session.red(findingLine("error", finding)));
    for (const finding of warnings) session.line(findingLine("warning", finding));
    session.line(session.say("pack.validated", { valid, count: ids.length }));
  });
  return errors.length > 0 ? EXIT.failed : EXIT.done;
}

function findingOf(packId: string, problem: PackState["problems"][number]): Finding {
  const { code, file = null, message, remedy = null } = problem;
  return { code, pack_id: packId, file, message, remedy };
}

function findingLine(severity: string, finding: Finding): string {
  const place = finding.file === null || finding.file === "" ? finding.pack_id : `${finding.pack_id}/${finding.file}`;
  return packLine(`${severity}  ${place}  ${finding.code}  ${finding.message}`);
}

import type { RunRecord } from "@rumi/api/client";
import { packLine, safeJson } from "./escape.ts";
import { table } from "./table.ts";

/** A run for a person: how it went, each step on a line, what it gave. Values of steps are in `--json`. */
export function runLines(run: RunRecord): string[] {
  const took = run.execution_time == null ? [] : [`${run.execution_time} s`];
  const resumed = (run.resumes ?? 0) === 0 ? [] : [`resumes=${run.resumes}`];
  const why = [run.code, run.reason].filter((text) => text != null);
  return [
    packLine([run.run_id, run.flow_id, run.state, ...took].join("  ")),
    packLine(`  ${[run.started_at ?? "-", run.trigger ?? "-", run.caller ?? "-", ...resumed].join("  ")}`),
    ...(why.length === 0 ? [] : [packLine(`  ${why.join(": ")}`)]),
    "",
    ...table(["STEP", "TYPE", "STATUS", "TRIES", "MS", "WHY"], (run.steps ?? []).filter(isRecord).map(stepRow)),
    "",
    safeJson(run.result ?? null, 2),
  ];
}

function stepRow(step: Readonly<Record<string, unknown>>): string[] {
  const { attempts, failure, ms, origin, reason } = step;
  const why = [
    ...(typeof reason === "string" ? [reason] : []),
    ...(isRecord(failure) ? [`${text(failure["code"])}: ${text(failure["message"])}`] : []),
    ...(isRecord(origin) ? [`by ${text(origin["pack_id"])} ${text(origin["modifier_id"])}`] : []),
  ];
  return [
    text(step["path"]),
    text(step["type"]),
    text(step["status"]),
    typeof attempts === "number" ? String(attempts) : "-",
    typeof ms === "number" ? ms.toFixed(1) : "-",
    why.join("; ") || "-",
  ];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "-";
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

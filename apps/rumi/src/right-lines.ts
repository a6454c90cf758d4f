import { isWide, reachesPrivate } from "./danger.ts";
import { packValue } from "./escape.ts";
import type { Session } from "./session.ts";
import { table } from "./table.ts";

/** One right as a listing shows it. */
export interface ShownRight {
  readonly principal: string;
  readonly permission: string;
  readonly config: unknown;
  readonly undeclared?: readonly unknown[] | undefined;
  readonly expires_at?: string | null | undefined;
  readonly last_used_at?: string | null | undefined;
  /** Why it does not count now. */
  readonly asleep?: string | undefined;
}

/** What a person has to see at once: red when there is any. */
export function marksOf(right: ShownRight, nowMs: number): readonly string[] {
  const marks: string[] = [];
  if ((right.undeclared ?? []).length > 0) marks.push("undeclared");
  if (isWide(right.config)) marks.push("*");
  if (reachesPrivate(right.config)) marks.push("private");
  if (right.expires_at != null && Date.parse(right.expires_at) <= nowMs) marks.push("expired");
  if (right.asleep !== undefined) marks.push("asleep");
  return marks;
}

/** One line for each right, the remarkable ones red. */
export function showRights(session: Session, rights: readonly ShownRight[]): void {
  const marks = rights.map((right) => marksOf(right, Date.now()));
  const rows = rights.map((right, index) => [
    right.principal,
    right.permission,
    marks[index]?.join(",") || "-",
    right.expires_at ?? "-",
    right.last_used_at ?? "-",
    limitsText(right.config),
  ]);
  for (const [index, line] of table(["PRINCIPAL", "PERMISSION", "LOOK", "UNTIL", "LAST USED", "LIMITS"], rows).entries())
    session.line((marks[index - 1] ?? []).length > 0 ? session.red(line) : line);
}

/** A config as one short line: `allowed_store_ids=a,b max_uses=5`. */
export function limitsText(config: unknown): string {
  if (typeof config !== "object" || config === null) return config === null || config === undefined ? "-" : packValue(config);
  if (Array.isArray(config)) return listText(config);
  const parts = Object.entries(config).map(([name, value]) => `${name}=${Array.isArray(value) ? listText(value) : packValue(value)}`);
  return parts.length === 0 ? "-" : parts.join(" ");
}

function listText(items: readonly unknown[]): string {
  return items.length === 0 ? "[]" : items.map((item) => packValue(item)).join(",");
}

/** Warnings of an answer, one a line. */
export function showWarnings(session: Session, warnings: readonly unknown[]): void {
  for (const warning of warnings) session.line(session.red(`  ${session.say("review.warning")}: ${packValue(warning)}`));
}

/** Items of lists that `before` had and `after` has not: what a replaced right gave and this one does not. */
export function droppedItems(before: unknown, after: unknown): readonly string[] {
  const itemsOf = (config: unknown): string[] =>
    typeof config === "object" && config !== null
      ? Object.values(config).flatMap((value) => (Array.isArray(value) ? value.map((item) => packValue(item)) : []))
      : [];
  const kept = new Set(itemsOf(after));
  return itemsOf(before).filter((item) => !kept.has(item));
}

/** Says what a replaced right no longer gives. */
export function showDropped(session: Session, before: unknown, after: unknown): void {
  const dropped = droppedItems(before, after);
  if (dropped.length > 0) session.line(`  ${session.say("grant.dropped", { items: dropped.join(", ") })}`);
}

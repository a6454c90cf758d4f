import { REVIEW_SECTIONS } from "@rumi/api/client";
import type { PackReview, ReviewChange, ReviewFile, ReviewSection } from "@rumi/api/client";
import { isWide, reachesPrivate } from "./danger.ts";
import { packLine, packLines, packValue } from "./escape.ts";
import { limitsText } from "./right-lines.ts";
import type { Session } from "./session.ts";

/** Sections whose growth widens what the pack may do. */
const RIGHTS: ReadonlySet<ReviewSection> = new Set(["permissions", "domains", "routes", "modifiers", "handlers", "stores", "secrets"]);
/** Names of code, and of files that say what runs. */
const RUNS = /\.(?:py|[cm]?[jt]s|json|ya?ml|sh)$/iu;
/** Items shown of one list before the rest is counted. */
const MAX_ITEMS = 12;

/** One calm screen: what changes first, then the dangerous in red, then what to type. Every pack text is escaped. */
export function showReview(session: Session, review: PackReview): void {
  const { say } = session;
  const first = review.base_digest === null;
  session.line(session.bold(`${packLine(review.pack_id)}  ${packLine(review.version ?? "")}  ${review.status}`.trimEnd()));
  session.line(`${say("review.digest")}  ${review.digest ?? "-"}`);
  session.line(`${say("review.base")}  ${review.base_digest ?? say("review.never_approved")}`);
  session.line();
  session.line(session.bold(say(first ? "review.files_new" : "review.files_changed")));
  showFiles(session, "~", review.files.changed);
  showFiles(session, "+", review.files.added);
  showFiles(session, "-", review.files.removed);
  if (review.files.added.length + review.files.removed.length + review.files.changed.length === 0)
    session.line(`  ${say("review.nothing")}`);
  for (const name of REVIEW_SECTIONS) {
    const change = review[name];
    if (change !== undefined && countOf(change) > 0) showSection(session, name, change);
  }
  showDeclared(session, review);
  const dangers = dangersOf(session, review);
  if (dangers.length > 0) {
    session.line();
    session.line(session.red(say("review.dangers")));
    for (const danger of dangers) session.line(session.red(`  ! ${danger}`));
  }
  for (const warning of review.warnings.slice(0, MAX_ITEMS)) session.line(`  ${say("review.warning")}: ${warningText(warning)}`);
  session.line();
}

/** The file changes themselves, escaped line by line. */
export function showDiff(session: Session, review: PackReview): void {
  for (const [mark, files] of [
    ["~", review.files.changed],
    ["+", review.files.added],
    ["-", review.files.removed],
  ] as const) {
    for (const file of whatRunsFirst(files)) {
      session.line(session.bold(`${mark} ${packLine(file.path)}`));
      if (typeof file.diff === "string") for (const line of packLines(file.diff)) session.line(`  ${line}`);
      else if (mark !== "-" && !file.path.endsWith("/"))
        session.line(`  ${session.say(mark === "+" ? "review.new_file" : "review.no_diff")}`);
    }
  }
}

/** Files that run or say what runs, then the others, then folders: what is cut off a long list is never the code alone. */
function whatRunsFirst(files: readonly ReviewFile[]): readonly ReviewFile[] {
  const rank = (file: ReviewFile): number => (file.path.endsWith("/") ? 2 : file.executable === true || RUNS.test(file.path) ? 0 : 1);
  return files.toSorted((a, b) => rank(a) - rank(b));
}

function showFiles(session: Session, mark: string, files: readonly ReviewFile[]): void {
  for (const file of whatRunsFirst(files).slice(0, MAX_ITEMS)) session.line(`  ${mark} ${packLine(file.path)}`);
  if (files.length > MAX_ITEMS) session.line(`  ${mark} ${session.say("review.more", { count: files.length - MAX_ITEMS })}`);
}

function countOf(change: ReviewChange): number {
  return change.added.length + change.removed.length + change.changed.length;
}

function showSection(session: Session, name: ReviewSection, change: ReviewChange): void {
  session.line();
  session.line(session.bold(session.say(`review.section.${name}`)));
  const widens = RIGHTS.has(name);
  for (const [mark, items] of [
    ["+", change.added],
    ["~", change.changed],
    ["-", change.removed],
  ] as const) {
    for (const item of items.slice(0, MAX_ITEMS)) {
      const line = `  ${mark} ${itemText(item)}`;
      session.line(widens && mark !== "-" ? session.red(line) : line);
    }
    if (items.length > MAX_ITEMS) session.line(`  ${mark} ${session.say("review.more", { count: items.length - MAX_ITEMS })}`);
  }
}

/** What key `g` gives, and in red what it leaves to the operator's own act. */
function showDeclared(session: Session, review: PackReview): void {
  const declared = review.declared_grants ?? [];
  if (declared.length === 0) return;
  session.line();
  session.line(session.bold(session.say("review.declared")));
  for (const right of declared.slice(0, MAX_ITEMS)) {
    const held = right.held === true ? `  (${session.say("review.held")})` : "";
    const line = packLine(`${right.permission_id}  ${limitsText(right.config)}`);
    const red = isWide(right.config) || reachesPrivate(right.config);
    if (right.config !== null) session.line(red ? session.red(`  + ${line}${held}`) : `  + ${line}${held}`);
    for (const item of right.left_out.slice(0, MAX_ITEMS))
      session.line(session.red(`  ! ${packLine(`${right.permission_id}  ${item}`)}  (${session.say("review.left_out")})`));
  }
  if (declared.length > MAX_ITEMS) session.line(`  ${session.say("review.more", { count: declared.length - MAX_ITEMS })}`);
}

function dangersOf(session: Session, review: PackReview): string[] {
  const { say } = session;
  const dangers: string[] = [];
  if (isSet(review.host_execution)) dangers.push(say("review.danger.host_execution"));
  for (const name of REVIEW_SECTIONS) {
    const change = review[name];
    if (change === undefined) continue;
    for (const item of [...change.added, ...change.changed]) {
      if (reachesPrivate(item)) dangers.push(`${say("review.danger.private")} ${itemText(item)}`);
      if (name === "modifiers" && isWideModifier(item)) dangers.push(`${say("review.danger.wide")} ${itemText(item)}`);
    }
  }
  for (const grant of review.undeclared_grants ?? []) dangers.push(`${say("review.danger.undeclared")} ${rightText(grant)}`);
  for (const grant of review.sleeping_grants ?? []) dangers.push(`${say("review.danger.sleeping")} ${rightText(grant)}`);
  return dangers.slice(0, MAX_ITEMS);
}

/** A right in a list of the review: its permission and limits. */
function rightText(right: unknown): string {
  if (typeof right !== "object" || right === null || !("permission_id" in right)) return packValue(right);
  return packLine(`${packValue(right.permission_id)}  ${limitsText("config" in right ? right.config : null)}`);
}

function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== undefined && value !== null && value !== false;
}

/** One item of a section: its key and what it says, or how that changes. */
function itemText(item: unknown): string {
  if (typeof item !== "object" || item === null || !("key" in item) || typeof item.key !== "string") return packValue(item);
  if ("from" in item && "to" in item) return packLine(`${item.key}  ${packValue(item.from)} -> ${packValue(item.to)}`);
  const value = "value" in item ? item.value : null;
  return value === null || value === true || value === item.key ? packLine(item.key) : packLine(`${item.key}  ${packValue(value)}`);
}

/** True when a modifier, old or new, reaches beyond its own flows. */
function isWideModifier(item: unknown): boolean {
  if (typeof item !== "object" || item === null) return false;
  const facts = "value" in item ? item.value : "to" in item ? item.to : item;
  return typeof facts === "object" && facts !== null && "wide" in facts && facts.wide === true;
}

/** A warning for a person: where, and what. */
export function warningText(warning: unknown): string {
  if (typeof warning !== "object" || warning === null || !("message" in warning) || typeof warning.message !== "string")
    return packValue(warning);
  const { file, path } = warning as { readonly file?: unknown; readonly path?: unknown };
  const where = [file, path].filter((part): part is string => typeof part === "string" && part !== "");
  return packLine(where.length === 0 ? warning.message : `${where.join(" ")}: ${warning.message}`);
}

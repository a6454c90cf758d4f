import { AUDIT_CATEGORIES, type AuditCategory } from "@rumi/core";
import { listAuditFiles, readLines, readLinesBackwards, type AuditFile } from "./audit-files.ts";
import { parseLine, type AuditEntry } from "./entry.ts";

/** What to list. Absent fields do not narrow. */
export interface AuditFilter {
  readonly category?: AuditCategory;
  /** ISO times, both included. */
  readonly from?: string;
  readonly to?: string;
  /** `owner_pack`, or `details.pack_id` or `details.principal_id`. */
  readonly pack?: string;
  readonly flow?: string;
  readonly action?: string;
  readonly success?: boolean;
  /** 1 to 1000, clamped; 100 when absent. */
  readonly limit?: number;
  /** `next_cursor` of the page before; one that is not ours lists nothing. */
  readonly cursor?: string;
}

/** One page of entries, newest first. */
export interface AuditPage {
  readonly items: AuditEntry[];
  readonly next_cursor: string | null;
}

/** Page sizes (pages "Trust", section 15, and "HTTP"). */
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/** Reads one page of a log; `upTo` is the newest entry to show. */
export async function queryAudit(folder: string, upTo: number, filter: AuditFilter): Promise<AuditPage> {
  const limit = Math.min(MAX_LIMIT, Math.max(1, Math.trunc(filter.limit ?? DEFAULT_LIMIT)));
  const before = filter.cursor === undefined ? upTo + 1 : readAuditCursor(filter.cursor);
  if (before === null) return { items: [], next_cursor: null };
  const files = await listAuditFiles(folder);
  const categories = filter.category === undefined ? AUDIT_CATEGORIES : [filter.category];
  const streams = categories.map((category) => newestFirst((files.get(category) ?? []).toReversed(), before, filter));
  const items: AuditEntry[] = [];
  try {
    const fronts = await Promise.all(streams.map((stream) => next(stream)));
    while (items.length <= limit) {
      let newest = -1;
      for (const [index, front] of fronts.entries()) {
        if (front !== null && front.seq > (fronts[newest]?.seq ?? 0)) newest = index;
      }
      const [front, stream] = [fronts[newest], streams[newest]];
      if (front === undefined || front === null || stream === undefined) break;
      items.push(front);
      fronts[newest] = await next(stream);
    }
  } finally {
    await Promise.all(streams.map((stream) => stream.return(undefined)));
  }
  const more = items.length > limit;
  const page = items.slice(0, limit);
  const last = page.at(-1);
  return { items: page, next_cursor: more && last !== undefined ? createAuditCursor(last.seq) : null };
}

async function next(stream: AsyncGenerator<AuditEntry>): Promise<AuditEntry | null> {
  const result = await stream.next();
  return result.done === true ? null : result.value;
}

async function* newestFirst(files: readonly AuditFile[], before: number, filter: AuditFilter): AsyncGenerator<AuditEntry> {
  for (const file of files) {
    if (filter.to !== undefined && file.date > filter.to.slice(0, 10)) continue;
    if (filter.from !== undefined && file.date < filter.from.slice(0, 10)) continue;
    if (await startsAtOrAfter(file, before)) continue;
    for await (const { text } of readLinesBackwards(file.path)) {
      const parsed = parseLine(text);
      if (parsed === null || parsed.seq >= before) continue;
      const entry = parsed as unknown as AuditEntry;
      if (matches(entry, filter)) yield entry;
    }
  }
}

async function startsAtOrAfter(file: AuditFile, before: number): Promise<boolean> {
  for await (const { text } of readLines(file.path)) {
    const first = parseLine(text);
    return first !== null && first.seq >= before;
  }
  return true;
}

function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  const { details } = entry;
  const packs = [entry.owner_pack, details?.pack_id, details?.principal_id];
  return (
    (filter.from === undefined || entry.ts >= filter.from) &&
    (filter.to === undefined || entry.ts <= filter.to) &&
    (filter.flow === undefined || entry.flow_id === filter.flow) &&
    (filter.action === undefined || entry.action === filter.action) &&
    (filter.success === undefined || entry.success === filter.success) &&
    (filter.pack === undefined || packs.includes(filter.pack))
  );
}

const CURSOR_PREFIX = "a1:";

function createAuditCursor(seq: number): string {
  return Buffer.from(`${CURSOR_PREFIX}${seq}`).toString("base64url");
}

/** The place a cursor names, or null when it is none of ours. */
export function readAuditCursor(cursor: string): number | null {
  const text = Buffer.from(cursor, "base64url").toString();
  const [, digits] = /^a1:([1-9]\d{0,14})$/u.exec(text) ?? [];
  return digits === undefined ? null : Number(digits);
}

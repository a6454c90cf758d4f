import { createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { dirname } from "node:path";
import { isoTime } from "@rumi/core";
import type { AuditCategory, AuditEvent, AuditSink, Clock, JsonObject, Logger } from "@rumi/core";
import { AppendLog, ensureFolder } from "@rumi/safe-files";
import { AuditWriter, type RoutedLine } from "./audit-writer.ts";
import { chainEntry, createChainKeys, createEntryBody, toLine } from "./entry.ts";
import { AuditError } from "./errors.ts";
import { loadNewestHead, signHead, type AuditHead } from "./heads.ts";
import { queryAudit, type AuditFilter, type AuditPage } from "./query.ts";
import { recoverChain, type Recovered } from "./recovery.ts";
import { verifyAudit, type AuditVerification } from "./verify.ts";

/** Categories that are on disk before their action is answered (decision 7.3). */
export const DURABLE_CATEGORIES: ReadonlySet<AuditCategory> = new Set(["approval", "permission", "security"]);

/** Entries of other categories are written within 200 ms; this leaves time for the write itself. */
const FLUSH_MS = 100;
/** How long a failed write of other categories waits before it is tried again. */
const RETRY_MS = 1000;
/** Entries that wait while the disk refuses; past it the oldest non-durable ones are dropped and counted. */
const MAX_WAITING = 10_000;
/** Entries signed in one go: all that a refusing disk let pile up would hold up everything else for long. */
const MAX_BATCH = 500;
/** The same when many more wait: fewer writes and heads for as many entries. */
const MAX_CROWDED_BATCH = 2_000;
/** Entries waiting from which on whoever records waits, too: what comes faster than the disk takes it is not piled up. */
const CROWDED = 4_000;
/** A signed head at least this often (page "Trust", section 15). */
const HEAD_ENTRIES = 100;
const HEAD_MS = 10_000;
/** Size at which a file gets its next part (page "Trust", section 15). */
const MAX_PART_BYTES = 64 * 1024 * 1024;

/** Collaborators of `AuditLog`. */
export interface AuditLogDeps {
  /** `user_data/audit`. */
  readonly folder: string;
  /** `user_data/settings/audit_heads.jsonl`. */
  readonly headsPath: string;
  /** The keyring's key for `rumi/audit/v1`, and its id. */
  readonly key: Uint8Array;
  readonly kid: string;
  /** Keys of retired ids; they only verify. */
  readonly retiredKeys?: ReadonlyMap<string, Uint8Array>;
  readonly clock: Clock;
  readonly redact?: (text: string) => string;
  /** Revision of the index of signed files, for the heads. */
  readonly revisionsRev?: () => number;
  readonly logger?: Logger;
}

/** How the log is. */
export interface AuditSummary {
  readonly last_seq: number;
  readonly last_head: AuditHead | null;
  /** False while the disk refuses entries. */
  readonly available: boolean;
  readonly dropped: number;
  readonly write_errors: number;
  /** Since the log was opened. */
  readonly entries: Readonly<Partial<Record<AuditCategory, { readonly total: number; readonly failed: number }>>>;
}

interface Waiting {
  readonly event: { readonly category: AuditCategory; readonly success: boolean };
  readonly ts: string;
  readonly body: JsonObject;
  /** Set for durable categories. */
  readonly done: PromiseWithResolvers<void> | null;
}

/**
 * The audit log: JSON lines per category and day, in one chain over all files. One writer per folder (the home's lock
 * sees to it). Events that wait together share one write and one disk flush.
 */
export class AuditLog implements AuditSink, AsyncDisposable {
  readonly #deps: AuditLogDeps;
  readonly #keys: ReadonlyMap<string, KeyObject>;
  #room: PromiseWithResolvers<void> | null = null;
  readonly #key: KeyObject;
  readonly #writer: AuditWriter;
  readonly #heads: AppendLog;
  readonly #counts = new Map<AuditCategory, { total: number; failed: number }>();
  #seq: number;
  #mac: string;
  #lastHead: AuditHead | null;
  #headAt: number;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | null = null;
  #headTimer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> | null = null;
  #headDue = false;
  #syncDue = false;
  #closed = false;
  #available = true;
  #dropped = 0;
  #writeErrors = 0;

  /** Newest revision of the index of signed files that a head on disk told at `open` (for `SignedFiles.load`). */
  readonly knownRevision: number;

  private constructor(
    deps: AuditLogDeps,
    parts: { writer: AuditWriter; heads: AppendLog; keys: ReadonlyMap<string, KeyObject>; head: AuditHead | null },
    recovered: Recovered,
    knownRevision: number,
  ) {
    this.#deps = deps;
    this.#keys = parts.keys;
    this.#key = parts.keys.get(deps.kid) ?? createSecretKey(deps.key);
    this.#writer = parts.writer;
    this.#heads = parts.heads;
    this.#seq = recovered.seq;
    this.#mac = recovered.mac;
    this.#lastHead = parts.head;
    this.#headAt = deps.clock.monotonic();
    this.knownRevision = knownRevision;
  }

  /**
   * Opens the log, finds the end of its chain after any kind of stop and signs a head. A broken chain does not stop it:
   * `verify` tells. What a crash left half-written is recorded as `recover`.
   * @throws AuditError `audit.unavailable`
   */
  static async open(deps: AuditLogDeps, options: { readonly maxPartBytes?: number } = {}): Promise<AuditLog> {
    const keys = createChainKeys([...(deps.retiredKeys ?? []), [deps.kid, deps.key]]);
    try {
      await ensureFolder(deps.folder);
      await ensureFolder(dirname(deps.headsPath));
      const { head, knownRevision } = await loadNewestHead(deps.headsPath, keys);
      const recovered = await recoverChain(deps.folder, head, isoTime(deps.clock.now()));
      const writer = new AuditWriter(deps.folder, recovered.parts, options.maxPartBytes ?? MAX_PART_BYTES);
      const headLog = await AppendLog.open(deps.headsPath);
      const log = new AuditLog(deps, { writer, heads: headLog, keys, head }, recovered, knownRevision);
      await log.#tellRecovery(recovered);
      await log.#signHead();
      return log;
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  /**
   * Records one event. For `approval`, `permission` and `security` it resolves once the entry is on disk; for others
   * once it waits to be written among no more than some thousand.
   * @throws AuditError `audit.unavailable`: the audited action must not happen
   */
  record(event: AuditEvent): Promise<void> {
    if (this.#closed) return Promise.reject(unavailable());
    const ts = isoTime(this.#deps.clock.now());
    const durable = DURABLE_CATEGORIES.has(event.category);
    const done = durable ? Promise.withResolvers<void>() : null;
    let body: JsonObject;
    try {
      body = createEntryBody(event, ts, this.#deps.redact ?? same);
    } catch (cause) {
      return Promise.reject(unavailable(cause));
    }
    this.#waiting.push({ event: { category: event.category, success: event.success }, ts, body, done });
    if (durable) void this.#flushSoon();
    else this.#schedule(this.#available ? FLUSH_MS : RETRY_MS);
    return done?.promise ?? this.#roomFor();
  }

  /** Puts every entry recorded so far on disk. @throws AuditError `audit.unavailable` */
  async flush(): Promise<void> {
    this.#syncDue = true;
    await this.#flushSoon();
    if (this.#syncDue) throw unavailable();
  }

  /** One page of entries, newest first, those still waiting included. */
  async query(filter: AuditFilter = {}): Promise<AuditPage> {
    await this.#flushSoon();
    return queryAudit(this.#deps.folder, this.#seq, filter);
  }

  /** Judges the whole log as it is now; `head` is one kept elsewhere. */
  async verify(options: { readonly head?: AuditHead } = {}): Promise<AuditVerification> {
    await this.#flushSoon();
    const { folder, headsPath } = this.#deps;
    return verifyAudit({ folder, headsPath, keys: this.#keys, upTo: this.#seq, ...options });
  }

  /** How the log is and what it took since it was opened. */
  summary(): AuditSummary {
    return {
      last_seq: this.#seq,
      last_head: this.#lastHead,
      available: this.#available,
      dropped: this.#dropped,
      write_errors: this.#writeErrors,
      entries: Object.fromEntries(this.#counts),
    };
  }

  /** Writes what waits, signs the last head and closes the files. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#headTimer !== null) clearTimeout(this.#headTimer);
    await this.#flushSoon();
    await this.#signHead().catch(() => undefined);
    await this.#heads.close();
    await this.#writer[Symbol.asyncDispose]();
  }

  /** Resolves at once, unless too many wait while the disk takes them: then when there is room, or when it refuses. */
  #roomFor(): Promise<void> {
    if (this.#waiting.length <= CROWDED || !this.#available) return Promise.resolve();
    void this.#flushSoon();
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  #letIn(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  /** Flushes now, or with the flush that is under way; resolves when nothing waits or the disk refused. */
  #flushSoon(): Promise<void> {
    this.#flushing ??= this.#drain();
    return this.#flushing;
  }

  async #drain(): Promise<void> {
    // Everybody who records in this turn joins the batch.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0 || this.#headDue || this.#syncDue) {
        const batch = this.#waiting.splice(0, this.#waiting.length > MAX_CROWDED_BATCH ? MAX_CROWDED_BATCH : MAX_BATCH);
        if (batch.length > 0 && !(await this.#commit(batch))) return;
        if (this.#waiting.length <= CROWDED) this.#letIn();
        if (this.#seq - (this.#lastHead?.seq ?? 0) >= HEAD_ENTRIES) this.#headDue = true;
        if (this.#headDue) await this.#tryHead();
        else if (batch.length > 0) this.#scheduleHead();
        if (this.#syncDue && !(await this.#trySync())) return;
      }
    } finally {
      // In the same turn as the last look at what waits: nobody can be left waiting for a flush that ended.
      this.#flushing = null;
      this.#letIn();
    }
  }

  async #commit(batch: readonly Waiting[]): Promise<boolean> {
    const { kid } = this.#deps;
    let [seq, prev] = [this.#seq, this.#mac];
    const lines: RoutedLine[] = [];
    for (const { event, ts, body } of batch) {
      seq += 1;
      const entry = chainEntry(body, { seq, prev, kid, key: this.#key });
      prev = entry.mac;
      lines.push({ category: event.category, date: ts.slice(0, 10), line: toLine(entry) });
    }
    const durable = batch.some(({ done }) => done !== null);
    try {
      await this.#writer.write(lines, durable);
    } catch (cause) {
      this.#refuse(batch, cause);
      return false;
    }
    [this.#seq, this.#mac] = [seq, prev];
    this.#available = true;
    for (const { event, done } of batch) {
      this.#count(event);
      done?.resolve();
    }
    return true;
  }

  /** Durable entries fail with their actions; the others wait for a better disk. */
  #refuse(batch: readonly Waiting[], cause: unknown): void {
    this.#writeErrors += 1;
    if (this.#available) this.#deps.logger?.log("error", "the audit log cannot be written");
    this.#available = false;
    for (const { done } of batch) done?.reject(unavailable(cause));
    // Whoever recorded meanwhile started no flush of their own: their entries fail here too.
    const late = this.#waiting;
    for (const { done } of late) done?.reject(unavailable(cause));
    const kept = [...batch, ...late].filter(({ done }) => done === null);
    const overflow = Math.max(0, kept.length - MAX_WAITING);
    this.#dropped += overflow;
    this.#waiting = kept.slice(overflow);
    if (this.#waiting.length > 0) this.#schedule(RETRY_MS);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#flushSoon();
    }, delayMs);
  }

  #scheduleHead(): void {
    if (this.#headTimer !== null || this.#closed) return;
    const due = Math.max(0, this.#headAt + HEAD_MS - this.#deps.clock.monotonic());
    this.#headTimer = setTimeout(() => {
      this.#headTimer = null;
      this.#headDue = true;
      void this.#flushSoon();
    }, due);
    this.#headTimer.unref();
  }

  async #trySync(): Promise<boolean> {
    try {
      await this.#writer.sync();
      this.#syncDue = false;
      return true;
    } catch {
      this.#writeErrors += 1;
      this.#available = false;
      return false;
    }
  }

  async #tryHead(): Promise<void> {
    this.#headDue = false;
    try {
      await this.#signHead();
    } catch {
      this.#writeErrors += 1;
      this.#available = false;
    }
  }

  /** Signs a head over what is on disk. */
  async #signHead(): Promise<void> {
    const { clock, kid, revisionsRev } = this.#deps;
    const [seq, mac] = [this.#seq, this.#mac];
    await this.#writer.sync();
    const rev = Math.max(this.#lastHead?.revisions_rev ?? 0, this.knownRevision, revisionsRev?.() ?? 0);
    const head: AuditHead = { seq, mac, ts: isoTime(clock.now()), revisions_rev: rev, kid };
    await this.#heads.append(signHead(head, this.#key), { durable: true });
    this.#lastHead = head;
    this.#headAt = clock.monotonic();
  }

  async #tellRecovery({ torn_bytes, orphans, seq }: Recovered): Promise<void> {
    if (torn_bytes === 0 && orphans === 0) return;
    const details = { torn_bytes, orphans, after_seq: seq };
    await this.record({ category: "system", severity: "warning", action: "recover", success: true, details });
    await this.flush();
  }

  #count({ category, success }: Waiting["event"]): void {
    const count = this.#counts.get(category) ?? { total: 0, failed: 0 };
    count.total += 1;
    if (!success) count.failed += 1;
    this.#counts.set(category, count);
  }
}

function same(text: string): string {
  return text;
}

function unavailable(cause?: unknown): AuditError {
  if (cause instanceof AuditError) return cause;
  return new AuditError("audit.unavailable", "the audit log cannot be written", { cause, remedy: "rumi doctor" });
}

import { isoTime, type AuditSink, type Clock, type PackId, type SecretKey } from "@rumi/core";
import type { JournalLine, SecretJournal } from "./secret-journal.ts";

/** Partial hits of one binding within a day that suspend it (page "Trust", section 9). */
export const MAX_PARTIAL_HITS = 5;
const WINDOW_MS = 24 * 60 * 60 * 1000;

const HIT = "partial_hit";
const SUSPEND = "suspend";
const RESUME = "resume";
const SENT = "sent";

/** Pairs of pack and host whose keys are remembered. */
const MAX_PLACES = 10_000;

/** A binding that rests, for lists. */
export interface SuspendedBinding {
  readonly principal_id: PackId;
  readonly key: SecretKey;
  readonly suspended_at: string;
}

/** Collaborators of `BindingWatch`. */
export interface BindingWatchDeps {
  readonly journal: SecretJournal;
  readonly audit: AuditSink;
  readonly clock: Clock;
}

/**
 * Counts pieces of secrets that came back to a pack; a binding with too many rests until an operator lifts it. Remembers where
 * secrets went: the host may give them back later, whatever the grants are then, and after a restart.
 */
export class BindingWatch {
  readonly #deps: BindingWatchDeps;
  /** Times of the newest hits, by binding. */
  readonly #hits = new Map<string, number[]>();
  readonly #suspended = new Map<string, SuspendedBinding>();
  readonly #sent = new Map<string, ReadonlySet<SecretKey>>();
  /** What of it is not on disk. */
  readonly #unkept = new Set<string>();

  constructor(deps: BindingWatchDeps, past: readonly JournalLine[] = []) {
    this.#deps = deps;
    for (const line of past) this.#replay(line);
  }

  /** True while the binding of this pack and key is suspended. Memory only. */
  suspended(principal: PackId, key: SecretKey): boolean {
    return this.#suspended.has(bindingName(principal, key));
  }

  /** Counts partial hits; resolves with whether the binding is suspended now. The count holds at once, before it is on disk. */
  async note(principal: PackId, key: SecretKey, hits = 1): Promise<boolean> {
    const { audit, clock, journal } = this.#deps;
    if (this.suspended(principal, key)) return true;
    const now = clock.now();
    const counted = Math.min(hits, MAX_PARTIAL_HITS);
    const suspend = this.#count(principal, key, now, counted);
    if (suspend) this.#suspended.set(bindingName(principal, key), { principal_id: principal, key, suspended_at: isoTime(now) });
    for (let hit = 0; hit < counted; hit++) await journal.note(HIT, key, principal);
    if (!suspend) return false;
    await journal.note(SUSPEND, key, principal, `${MAX_PARTIAL_HITS} pieces of the value came back within 24 hours`);
    await audit.record({
      category: "security",
      severity: "critical",
      action: "secrets.binding_suspended",
      success: false,
      owner_pack: principal,
      rejection_reason: `${MAX_PARTIAL_HITS} pieces of the secret's value came back within 24 hours`,
      details: { principal_id: principal, key_name: key },
    });
    return true;
  }

  /** A secret is about to go to that host, or address, for a pack. Counts at once; resolves when it is on disk. */
  async noteSent(principal: PackId, key: SecretKey, host: string): Promise<void> {
    const name = `${placeName(principal, host)}\n${key}`;
    if (this.sentTo(principal, host).has(key) && !this.#unkept.has(name)) return;
    this.#remember(principal, key, host);
    this.#unkept.add(name);
    await this.#deps.journal.note(SENT, key, principal, host);
    this.#unkept.delete(name);
  }

  /** Keys of secrets that went there for a pack. */
  sentTo(principal: PackId, host: string): ReadonlySet<SecretKey> {
    return this.#sent.get(placeName(principal, host)) ?? new Set();
  }

  /** Ends a suspension and forgets the count: for the operator's new grant, which is audited as such. False when there was none. */
  async lift(principal: PackId, key: SecretKey, actor: string): Promise<boolean> {
    const name = bindingName(principal, key);
    if (!this.#suspended.has(name)) return false;
    await this.#deps.journal.note(RESUME, key, actor, principal);
    this.#suspended.delete(name);
    this.#hits.delete(name);
    return true;
  }

  list(): SuspendedBinding[] {
    return [...this.#suspended.values()];
  }

  /** Notes hits of now; true when there are too many. */
  #count(principal: PackId, key: SecretKey, now: number, hits: number): boolean {
    const name = bindingName(principal, key);
    const recent = (this.#hits.get(name) ?? []).filter((time) => time > now - WINDOW_MS);
    const times = [...recent, ...Array.from({ length: hits }, () => now)].slice(-MAX_PARTIAL_HITS);
    this.#hits.set(name, times);
    return times.length >= MAX_PARTIAL_HITS;
  }

  #remember(principal: PackId, key: SecretKey, host: string): void {
    const place = placeName(principal, host);
    const keys = new Set(this.#sent.get(place)).add(key);
    this.#sent.delete(place);
    this.#sent.set(place, keys);
    const oldest = this.#sent.size > MAX_PLACES ? this.#sent.keys().next().value : undefined;
    if (oldest !== undefined) this.#sent.delete(oldest);
  }

  #replay({ ts, action, key, actor, reason }: JournalLine): void {
    const at = Date.parse(ts);
    if (Number.isNaN(at)) return;
    if (action === SENT && reason !== undefined) this.#remember(actor as PackId, key as SecretKey, reason);
    else if (action === HIT) this.#count(actor as PackId, key as SecretKey, at, 1);
    else if (action === SUSPEND) {
      const binding = { principal_id: actor as PackId, key: key as SecretKey, suspended_at: ts };
      this.#suspended.set(bindingName(binding.principal_id, binding.key), binding);
    } else if (action === RESUME && reason !== undefined) {
      const name = bindingName(reason as PackId, key as SecretKey);
      this.#suspended.delete(name);
      this.#hits.delete(name);
    }
  }
}

function placeName(principal: PackId, host: string): string {
  return `${principal}\n${host}`;
}

function bindingName(principal: PackId, key: SecretKey): string {
  return `${principal}/${key}`;
}

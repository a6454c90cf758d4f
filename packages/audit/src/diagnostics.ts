import { isoTime, type Clock, type DiagnosticsSink, type PartReport, type PartStatus } from "@rumi/core";

/** A report and when it came (UTC, ISO, ms). */
export type PartEvent = PartReport & { readonly ts: string };

/** Which events to list; absent fields do not narrow. */
export interface PartFilter {
  readonly kind?: string;
  readonly id?: string;
  readonly status?: PartStatus;
  readonly limit?: number;
}

/** Events kept (page "Trust", section 15). */
export const MAX_PART_EVENTS = 10_000;

/** How every part is now, and what was said lately. In memory; a restart begins anew. */
export class Diagnostics implements DiagnosticsSink {
  readonly #clock: Clock;
  readonly #redact: (text: string) => string;
  readonly #maxEvents: number;
  readonly #parts = new Map<string, PartEvent>();
  /** Ring: the oldest is overwritten. */
  readonly #events: PartEvent[] = [];
  #next = 0;

  constructor(deps: { readonly clock: Clock; readonly redact?: (text: string) => string }, options: { readonly maxEvents?: number } = {}) {
    this.#clock = deps.clock;
    this.#redact = deps.redact ?? ((text) => text);
    this.#maxEvents = options.maxEvents ?? MAX_PART_EVENTS;
  }

  /** Notes how a part is; its newest report is its state. */
  report(part: PartReport): void {
    const event = { ...part, message: this.#redact(part.message), ts: isoTime(this.#clock.now()) };
    const key = `${part.kind}\0${part.id}`;
    this.#parts.delete(key);
    this.#parts.set(key, event);
    if (this.#parts.size > this.#maxEvents) this.#forgetOldestPart();
    this.#events[this.#next] = event;
    this.#next = (this.#next + 1) % this.#maxEvents;
  }

  /** The newest report of each part, by kind and id. */
  parts(): PartEvent[] {
    return [...this.#parts.values()].toSorted((a, b) => compare(a.kind, b.kind) || compare(a.id, b.id));
  }

  /** Reports, newest first. */
  events(filter: PartFilter = {}): PartEvent[] {
    const ordered = [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)].toReversed();
    return ordered
      .filter(
        (event) =>
          (filter.kind === undefined || event.kind === filter.kind) &&
          (filter.id === undefined || event.id === filter.id) &&
          (filter.status === undefined || event.status === filter.status),
      )
      .slice(0, filter.limit ?? this.#maxEvents);
  }

  #forgetOldestPart(): void {
    for (const key of this.#parts.keys()) {
      this.#parts.delete(key);
      return;
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

import type { JsonValue, Logger } from "@rumi/core";
import { SYSTEM_PRINCIPAL } from "@rumi/core";
import { PackRuntimeError } from "../errors.ts";
import { isDottedName, refuseSize } from "./interface-keys.ts";

/** Where events of official and shared flows go; no pack may be called so. */
const SYSTEM_TOPIC = "flows";

/** Something that happened, told to the daemon's own parts. `data` is pack-controlled. */
export interface BusEvent {
  readonly topic: string;
  readonly data: JsonValue;
}

/** Hears of one topic. What it throws or rejects with hinders nobody. */
export type BusListener = (event: BusEvent) => void | Promise<void>;

/** Why an event may not be told, or null. Pure; both are pack-controlled. */
export function refuseEvent(event: string, data: JsonValue): string | null {
  if (!isDottedName(event)) return "event must be dotted names of letters, digits, _ and -, at most 128 characters";
  return refuseSize(data);
}

/**
 * Tells events of packs and flows to listeners of the daemon, which ask for exact topics. Nothing is kept, and no pack hears
 * anything.
 */
export class EventBus {
  readonly #logger: Logger;
  readonly #listeners = new Map<string, Set<BusListener>>();

  constructor(deps: { readonly logger: Logger }) {
    this.#logger = deps.logger;
  }

  /** Hears of one topic from now on. Answers how to stop. For the daemon's own parts. */
  on(topic: string, listener: BusListener): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(topic, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  /** Tells an event of a pack's or, for `system`, of the operator's flow, once `refuseEvent` had nothing against it. Answers its topic. */
  emit(principal: string, event: string, data: JsonValue): { readonly topic: string } {
    const topic = `${principal === SYSTEM_PRINCIPAL ? SYSTEM_TOPIC : principal}.${event}`;
    this.publish(topic, data);
    return { topic };
  }

  /** Tells an event of the daemon itself, or of a component under its pack's topic. Listeners are called in their order. */
  publish(topic: string, data: JsonValue): void {
    for (const listener of [...(this.#listeners.get(topic) ?? [])]) {
      try {
        listener({ topic, data })?.catch((cause: unknown) => this.#failed(topic, cause));
      } catch (cause) {
        this.#failed(topic, cause);
      }
    }
  }

  /** What a pack gets that would subscribe. @throws PackRuntimeError `event.unsupported`, always */
  refuseSubscription(): never {
    throw new PackRuntimeError("event.unsupported", "packs cannot subscribe to events; a flow calls the pack that is to know");
  }

  #failed(topic: string, cause: unknown): void {
    this.#logger.log("error", "a listener of an event failed", { topic, error: String(cause) });
  }
}

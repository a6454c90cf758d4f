import type { AuditSink, Decision, JsonObject, JsonValue, Logger, PackId } from "@rumi/core";
import { SYSTEM_PRINCIPAL } from "@rumi/core";
import type { ApprovalGate } from "../ports.ts";
import { CAPABILITIES_KEY, isReservedKey, mergeCapabilities, refuseKey, refuseValue } from "./interface-keys.ts";
import type { ComponentPlace } from "./interface-keys.ts";
import { MAX_PACK_KEYS } from "./limits.ts";

/** Codes of a refused registration. */
type KeyRefusalCode = "interface.key_denied" | "interface.key_taken";

/** Where the set-up of components puts what it registers. `InterfaceRegistry` is one. */
export interface ComponentInterfaces {
  /**
   * Puts these keys in the place of all that the component had. One refused key refuses all of them, and nothing changes.
   * Keys and values are pack-controlled.
   */
  publish(place: ComponentPlace, entries: Readonly<Record<string, JsonValue>>): Decision<{ readonly keys: number }, KeyRefusalCode>;
  /** Takes back the keys of a component whose set-up failed, or of a whole pack. */
  withdraw(packId: PackId, componentId?: string): void;
  /** Everything that this principal may read, as a map of its own. */
  copyFor(principal: string): JsonObject;
}

export interface InterfaceRegistryDeps {
  readonly gate: Pick<ApprovalGate, "gate">;
  /** An installed pack has this id, approved or not. */
  readonly isKnownPack: (id: string) => boolean;
  readonly audit: AuditSink;
  readonly logger: Logger;
}

interface Entry {
  readonly place: ComponentPlace;
  readonly key: string;
  readonly value: JsonValue;
}

/**
 * What components of approved packs offer to others, in memory: JSON only, each key of one component. A pack that may not run
 * from the bytes that registered a key has no key, from that moment on.
 */
export class InterfaceRegistry implements ComponentInterfaces {
  readonly #deps: InterfaceRegistryDeps;
  readonly #entries = new Map<string, Entry>();
  /** Parts of `component.capabilities`, by component. */
  readonly #capabilities = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();

  constructor(deps: InterfaceRegistryDeps) {
    this.#deps = deps;
  }

  publish(place: ComponentPlace, entries: Readonly<Record<string, JsonValue>>): Decision<{ readonly keys: number }, KeyRefusalCode> {
    const asked = Object.entries(entries).map(([key, value]): Entry => ({ place, key, value }));
    const refusal = this.#refuse(place, asked);
    if (refusal !== null) {
      this.#tellRefusal(place, refusal);
      return { allowed: false, ...refusal };
    }
    const before = this.#remove((entry) => isOf(entry, place.pack_id, place.component_id));
    for (const entry of asked) {
      // What a pack gave may be changed by nobody afterwards, and shares nothing with what it keeps.
      const kept = { ...entry, value: JSON.parse(JSON.stringify(entry.value)) as JsonValue };
      if (entry.key === CAPABILITIES_KEY) this.#capabilities.set(componentOf(place), kept);
      else this.#entries.set(entry.key, kept);
    }
    if (before > 0 || asked.length > 0) this.#changed();
    return { allowed: true, keys: asked.length };
  }

  withdraw(packId: PackId, componentId?: string): void {
    if (this.#remove((entry) => isOf(entry, packId, componentId)) > 0) this.#changed();
  }

  /** Forgets what a pack registered from bytes that may not run any more. */
  packChanged(packId: PackId): void {
    if (this.#remove((entry) => entry.place.pack_id === packId && !this.#isLive(entry)) > 0) this.#changed();
  }

  copyFor(principal: string): JsonObject {
    return Object.fromEntries(this.keys(principal).map((key) => [key, this.#value(key) ?? null]));
  }

  /** The value of a key, null when there is none; refused for keys that packs do not read. `key` is pack-controlled. */
  read(principal: string, key: string): Decision<{ readonly value: JsonValue }, "interface.key_denied"> {
    if (!mayRead(principal, key)) {
      return { allowed: false, code: "interface.key_denied", reason: `${key.slice(0, key.indexOf("."))}. keys are the daemon's` };
    }
    return { allowed: true, value: this.#value(key) ?? null };
  }

  /** Keys that this principal may read, in order. */
  keys(principal: string, prefix = ""): string[] {
    const live = [...this.#entries.values()].filter((entry) => this.#isLive(entry)).map(({ key }) => key);
    if (this.#liveParts().length > 0) live.push(CAPABILITIES_KEY);
    return live.filter((key) => key.startsWith(prefix) && mayRead(principal, key)).sort();
  }

  /** Whether a component of a pack that may run registered this key. */
  has(key: string): boolean {
    return this.#value(key) !== undefined;
  }

  /** Whether a component says that it brings this capability. */
  hasCapability(name: string): boolean {
    return this.#liveParts().some(({ value }) => mergeCapabilities([value])[name] === true);
  }

  /** Runs `listener` after keys came or went. Answers how to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #refuse(place: ComponentPlace, asked: readonly Entry[]): { readonly code: KeyRefusalCode; readonly reason: string } | null {
    const { isKnownPack } = this.#deps;
    const others = [...this.#entries.values(), ...this.#capabilities.values()].filter(
      (entry) => entry.place.pack_id === place.pack_id && entry.place.component_id !== place.component_id,
    ).length;
    if (others + asked.length > MAX_PACK_KEYS) return denied(`a pack has at most ${MAX_PACK_KEYS} keys`);
    for (const { key, value } of asked) {
      const fault = refuseKey(place, key, isKnownPack) ?? refuseValue(key, value);
      if (fault !== null) return denied(`${JSON.stringify(key.slice(0, 80))}: ${fault}`);
      const owner = this.#entries.get(key);
      if (owner !== undefined && !isOf(owner, place.pack_id, place.component_id) && this.#isLive(owner)) {
        const { pack_id: pack, component_id: component } = owner.place;
        return { code: "interface.key_taken", reason: `${key} is registered by component ${component} of ${pack}` };
      }
    }
    return null;
  }

  #tellRefusal(
    { pack_id: pack, component_id: component }: ComponentPlace,
    refusal: { readonly code: string; readonly reason: string },
  ): void {
    this.#deps.audit
      .record({
        category: "security",
        severity: "warning",
        action: refusal.code,
        success: false,
        owner_pack: pack,
        rejection_reason: refusal.reason,
        details: { component_id: component },
      })
      .catch((cause: unknown) => this.#deps.logger.log("error", "an audit entry could not be written", { error: String(cause) }));
  }

  #value(key: string): JsonValue | undefined {
    if (key === CAPABILITIES_KEY) {
      const parts = this.#liveParts();
      return parts.length === 0 ? undefined : mergeCapabilities(parts.map(({ value }) => value));
    }
    const entry = this.#entries.get(key);
    return entry !== undefined && this.#isLive(entry) ? entry.value : undefined;
  }

  #liveParts(): Entry[] {
    return [...this.#capabilities.values()].filter((entry) => this.#isLive(entry));
  }

  /** Its pack may run from these bytes, and the key is still its to hold: a pack of that name may have been installed since. */
  #isLive({ place, key }: Entry): boolean {
    return this.#deps.gate.gate(place.pack_id, place.digest).allowed && refuseKey(place, key, this.#deps.isKnownPack) === null;
  }

  #remove(isGone: (entry: Entry) => boolean): number {
    let removed = 0;
    for (const entries of [this.#entries, this.#capabilities]) {
      for (const [name, entry] of entries) {
        if (!isGone(entry)) continue;
        entries.delete(name);
        removed += 1;
      }
    }
    return removed;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

function denied(reason: string): { readonly code: "interface.key_denied"; readonly reason: string } {
  return { code: "interface.key_denied", reason };
}

function mayRead(principal: string, key: string): boolean {
  return principal === SYSTEM_PRINCIPAL || !isReservedKey(key);
}

function isOf({ place }: Entry, packId: PackId, componentId: string | undefined): boolean {
  return place.pack_id === packId && (componentId === undefined || place.component_id === componentId);
}

function componentOf({ pack_id: pack, component_id: component }: ComponentPlace): string {
  return `${pack}/${component}`;
}

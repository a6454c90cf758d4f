import type { Capability, CapabilitySource } from "@rumi/capability";

/** Every power there is now: the built-in ones by id and alias, then those that packs supply. */
export class CapabilityTable implements CapabilitySource {
  readonly #builtIn = new Map<string, Capability>();
  readonly #supplied: CapabilitySource | null;

  constructor(builtIn: readonly Capability[], supplied: CapabilitySource | null = null) {
    for (const capability of builtIn) {
      for (const name of [capability.permission_id, ...(capability.aliases ?? [])]) this.#builtIn.set(name, capability);
    }
    this.#supplied = supplied;
  }

  find(name: string): Capability | undefined {
    return this.#builtIn.get(name) ?? this.#supplied?.find(name);
  }
}

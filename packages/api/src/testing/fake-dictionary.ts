import { RumiError } from "@rumi/core";
import type { DictionaryPort } from "../ports.ts";

/** A dictionary in memory that knows its rules well enough for a house of fakes. */
export class FakeDictionary implements DictionaryPort {
  /** Values by namespace and token. */
  readonly rules = new Map<string, Map<string, string>>();
  readonly #calls: string[];

  constructor(calls: string[]) {
    this.#calls = calls;
  }

  list(namespace?: string): ReturnType<DictionaryPort["list"]> {
    return [...this.rules]
      .filter(([name]) => namespace === undefined || name === namespace)
      .flatMap(([name, rules]) => [...rules].map(([token, value]) => ({ namespace: name, token, value, ...this.#follow(rules, token) })));
  }

  propose({ namespace, token, value }: Parameters<DictionaryPort["propose"]>[0]): ReturnType<DictionaryPort["propose"]> {
    this.#calls.push("dictionary.propose");
    const rules = this.rules.get(namespace) ?? new Map<string, string>();
    const details = { namespace, token };
    if ([namespace, token, value].some((text) => text.trim() === "" || text.length > 256))
      throw new RumiError("dict.rejected", "a token has 1 to 256 characters", { details });
    if (token === value || this.#follow(rules, value).resolved === token)
      throw new RumiError("dict.cycle_detected", "the value leads back to the token", { details });
    if ((rules.get(token) ?? value) !== value) throw new RumiError("dict.conflict", "the token has another value", { details });
    this.rules.set(namespace, rules.set(token, value));
    return { namespace, token, value, result: "accepted" };
  }

  remove({ namespace, token, value }: Parameters<DictionaryPort["remove"]>[0]): ReturnType<DictionaryPort["remove"]> {
    this.#calls.push("dictionary.remove");
    const held = this.rules.get(namespace)?.get(token);
    if (held === undefined || (value ?? held) !== held)
      throw new RumiError("dict.not_found", "there is no such rule", { details: { namespace, token } });
    this.rules.get(namespace)?.delete(token);
    return { namespace, token, value: held, result: "removed" };
  }

  #follow(rules: ReadonlyMap<string, string>, token: string): { readonly resolved: string; readonly hops: number } {
    let resolved = token;
    let hops = 0;
    for (let next = rules.get(resolved); next !== undefined; next = rules.get(resolved)) {
      resolved = next;
      hops += 1;
    }
    return { resolved, hops };
  }
}

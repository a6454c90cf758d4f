import { MAX_HOPS, MAX_NAMESPACE_CHARS, MAX_RULES, MAX_TEXT_CHARS } from "./limits.ts";

/** In `namespace`, `token` means `value`. */
export interface DictionaryRule {
  readonly namespace: string;
  readonly token: string;
  readonly value: string;
}

/** What becomes of a proposal. */
export type ProposalResult = "accepted" | "conflict" | "cycle_detected" | "rejected";

/** How a proposal is judged. */
export interface Verdict {
  readonly result: ProposalResult;
  /** In words; null when accepted. */
  readonly reason: string | null;
  /** Accepted, and not there yet. */
  readonly isNew: boolean;
}

/** What a token means in the end. */
export interface Resolution {
  readonly value: string;
  /** Rules that led there; 0 for a token that no rule names. */
  readonly hops: number;
}

/** A resolution with every word on the way. */
export interface Explanation extends Resolution {
  readonly namespace: string;
  readonly token: string;
  /** The token first, the value last. */
  readonly path: readonly string[];
}

interface Namespace {
  readonly values: Map<string, string>;
  /** Tokens by the value they lead to. */
  readonly tokens: Map<string, Set<string>>;
}

/** Rules by namespace, never with a cycle, never with a chain over the most hops; what would make one is refused. In memory only. */
export class DictionaryRules {
  readonly #namespaces = new Map<string, Namespace>();
  #size = 0;

  /** Rules of all namespaces. */
  get size(): number {
    return this.#size;
  }

  /** What would become of `rule`; nothing changes. */
  judge({ namespace, token, value }: DictionaryRule): Verdict {
    if (!isText(namespace, MAX_NAMESPACE_CHARS)) return refused("rejected", `a namespace has 1 to ${MAX_NAMESPACE_CHARS} characters`);
    if (!isText(token, MAX_TEXT_CHARS)) return refused("rejected", `a token has 1 to ${MAX_TEXT_CHARS} characters`);
    if (!isText(value, MAX_TEXT_CHARS)) return refused("rejected", `a value has 1 to ${MAX_TEXT_CHARS} characters`);
    const known = this.#namespaces.get(namespace);
    const onward = walk(known, value);
    if (onward.includes(token)) return refused("cycle_detected", "the value leads back to the token");
    const held = known?.values.get(token);
    if (held === value) return { result: "accepted", reason: null, isNew: false };
    if (held !== undefined) return refused("conflict", "the token has another value");
    if (depthBefore(known, token) + onward.length > MAX_HOPS)
      return refused("rejected", `a token reaches its end in at most ${MAX_HOPS} hops`);
    if (this.#size >= MAX_RULES) return refused("rejected", `the dictionary holds at most ${MAX_RULES} rules`);
    return { result: "accepted", reason: null, isNew: true };
  }

  /** Takes `rule` when it is accepted. */
  add(rule: DictionaryRule): Verdict {
    const verdict = this.judge(rule);
    if (!verdict.isNew) return verdict;
    const { namespace, token, value } = rule;
    let known = this.#namespaces.get(namespace);
    if (known === undefined) this.#namespaces.set(namespace, (known = { values: new Map(), tokens: new Map() }));
    known.values.set(token, value);
    const beside = known.tokens.get(value);
    if (beside === undefined) known.tokens.set(value, new Set([token]));
    else beside.add(token);
    this.#size += 1;
    return verdict;
  }

  /** The value of the rule for `token` itself, if there is one. */
  find(namespace: string, token: string): string | undefined {
    return this.#namespaces.get(namespace)?.values.get(token);
  }

  /** Takes the rule for `token` away; false when there was none. */
  remove(namespace: string, token: string): boolean {
    const known = this.#namespaces.get(namespace);
    const value = known?.values.get(token);
    if (known === undefined || value === undefined) return false;
    known.values.delete(token);
    const beside = known.tokens.get(value);
    beside?.delete(token);
    if (beside?.size === 0) known.tokens.delete(value);
    if (known.values.size === 0) this.#namespaces.delete(namespace);
    this.#size -= 1;
    return true;
  }

  /** Follows `token` to the end of its chain. */
  resolve(namespace: string, token: string): Resolution {
    const path = walk(this.#namespaces.get(namespace), token);
    return { value: path.at(-1) ?? token, hops: path.length - 1 };
  }

  explain(namespace: string, token: string): Explanation {
    const path = walk(this.#namespaces.get(namespace), token);
    return { namespace, token, value: path.at(-1) ?? token, hops: path.length - 1, path };
  }

  /** All rules, or those of one namespace, by namespace, then token. */
  list(namespace?: string): DictionaryRule[] {
    return [...this.#namespaces.keys()]
      .filter((name) => namespace === undefined || name === namespace)
      .sort(byUnits)
      .flatMap((name) =>
        [...(this.#namespaces.get(name)?.values ?? [])]
          .sort(([a], [b]) => byUnits(a, b))
          .map(([token, value]) => ({ namespace: name, token, value })),
      );
  }
}

function refused(result: ProposalResult, reason: string): Verdict {
  return { result, reason, isNew: false };
}

/** True for a text of 1 to `max` characters that are not all blank, with no control characters and nothing half. */
function isText(text: string, max: number): boolean {
  // A character is at most two units: longer texts need no counting.
  if (text.length > max * 2 || text.trim() === "" || !text.isWellFormed() || /\p{Cc}/u.test(text)) return false;
  return text.length <= max || Array.from(text).length <= max;
}

/** The token and what it leads to, in order. Ends because no rule ever closes a cycle. */
function walk(known: Namespace | undefined, token: string): string[] {
  const path = [token];
  for (let at = known?.values.get(token); at !== undefined; at = known?.values.get(at)) path.push(at);
  return path;
}

/** Most rules that lead to `token` in a row. */
function depthBefore(known: Namespace | undefined, token: string): number {
  let depth = 0;
  let level: readonly string[] = [token];
  for (;;) {
    level = level.flatMap((value) => [...(known?.tokens.get(value) ?? [])]);
    if (level.length === 0) return depth;
    depth += 1;
  }
}

function byUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

import type { JsonObject } from "@rumi/core";
import * as v from "valibot";
import { count, pickList } from "./config-fields.ts";
import { canonicalHost, isAddress } from "./host-name.ts";
import { canonicalDomain, canonicalPair, hostOfPair } from "./network-config.ts";

/** Methods the proxy knows (page "Execution and egress", section 9). */
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];
/** Parts of a request that a secret may be put into (page "Trust", section 9). */
const SLOTS = ["header", "query", "body"];
const MAX_ITEMS = 1000;

const Port = v.union([v.literal("*"), v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))]);
const Method = v.pipe(v.string(), v.toUpperCase(), v.picklist(METHODS));
const Pair = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const pair = canonicalPair(dataset.value);
    if (pair !== null) return pair;
    addIssue({ message: `${JSON.stringify(dataset.value.slice(0, 100))} is no host:port (an IPv6 address stands in brackets)` });
    return NEVER;
  }),
);

/** `network.egress`: both lists are required; domains, addresses and pairs come out in their one form. */
export function networkConfig(limits: v.ObjectEntries): v.GenericSchema<unknown, JsonObject> {
  return v.pipe(
    v.strictObject({
      allowed_domains: v.pipe(v.array(v.string()), v.maxLength(MAX_ITEMS)),
      allowed_ports: v.pipe(v.array(Port), v.maxLength(MAX_ITEMS), v.transform(unique)),
      allow_private: v.optional(v.pipe(v.array(Pair), v.maxLength(MAX_ITEMS), v.transform(unique))),
      allowed_methods: v.optional(v.pipe(v.array(Method), v.maxLength(MAX_ITEMS), v.transform(unique))),
      requests_per_minute: v.optional(count()),
      ...limits,
    }),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const { allowed_domains, allow_private } = dataset.value;
      const privateHosts = new Set((allow_private ?? []).map(hostOfPair));
      const domains = allowed_domains.map((text) => canonicalDomain(text, privateHosts));
      const wrong = domains.find((domain) => !domain.ok);
      if (wrong !== undefined) {
        addIssue({ message: `allowed_domains: ${wrong.reason}` });
        return NEVER;
      }
      return { ...dataset.value, allowed_domains: unique(domains.flatMap((domain) => (domain.ok ? [domain.domain] : []))) };
    }),
  ) as unknown as v.GenericSchema<unknown, JsonObject>;
}

const Binding = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const binding = canonicalBinding(dataset.value);
    if (binding !== null) return binding;
    addIssue({ message: `${JSON.stringify(dataset.value.slice(0, 100))} is no KEY@host; the host may be *.name.tld, not *` });
    return NEVER;
  }),
);

/** `secrets.use`. */
export function secretUseConfig(limits: v.ObjectEntries): v.GenericSchema<unknown, JsonObject> {
  return v.strictObject({
    allowed_bindings: v.optional(v.pipe(v.array(Binding), v.maxLength(MAX_ITEMS), v.transform(unique))),
    allowed_slots: v.optional(pickList(SLOTS)),
    ...limits,
  }) as unknown as v.GenericSchema<unknown, JsonObject>;
}

/** `KEY@host`, the host in its one form; null for anything else. Private hosts may stand here: the network grant judges them. */
function canonicalBinding(text: string): string | null {
  const at = text.indexOf("@");
  const key = text.slice(0, Math.max(0, at));
  const written = text.slice(at + 1);
  if (!/^[A-Z0-9_]{1,64}$/u.test(key)) return null;
  const wide = written.startsWith("*.");
  const host = canonicalHost(wide ? written.slice(2) : written);
  if (host === null || (wide && (isAddress(host) || !host.includes(".")))) return null;
  return `${key}@${wide ? "*." : ""}${host}`;
}

function unique<Item>(items: readonly Item[]): Item[] {
  return [...new Set(items)];
}

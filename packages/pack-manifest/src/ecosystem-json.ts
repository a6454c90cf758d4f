import { parse as parseSemver, validRange } from "semver";
import * as v from "valibot";

/** Where a pack says who it is. */
export const MANIFEST_FILE = "ecosystem.json";

/** `scheme:rest` naming where a pack comes from, e.g. `github:author/repo`. */
export const PackIdentity = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9+.-]*:[!-~]{1,240}$/u));

const Semver = v.pipe(
  v.string(),
  v.maxLength(128),
  v.check((text) => /^[0-9]/u.test(text) && parseSemver(text) !== null, "must be a semantic version such as 1.2.3"),
);
const Range = v.pipe(
  v.string(),
  v.maxLength(128),
  v.check((text) => validRange(text) !== null, "must be a version range such as ^1.2.0"),
);
/** A dotted lower-case service name. Source: decision 9, form of `provides`. */
const ServiceName = v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$/u));
/** A service name or a pack id. */
const Requirement = v.pipe(v.string(), v.maxLength(128), v.regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/u));
const Dependencies = v.union([v.array(Requirement), v.record(Requirement, Range)]);
const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const Domain = v.pipe(v.string(), v.minLength(1), v.maxLength(253));
const Count = v.pipe(v.number(), v.integer(), v.minValue(1));

/** A name list: shapes of vocabulary entries are judged by the vocabulary itself. */
const Words = v.union([v.array(v.string()), v.record(v.string(), v.unknown())]);

/** Most stores one pack may declare. Source: page "Trust", section 4. */
export const MAX_DECLARED_STORES = 10;

/**
 * `ecosystem.json`: only `pack_id` and `pack_identity` are required; keys that are not listed are kept out of the
 * result and warned about. Everything in it is a wish or a label: nothing here grants a right.
 */
export const EcosystemJson = v.object({
  pack_id: v.pipe(v.string(), v.maxLength(256)),
  pack_identity: PackIdentity,
  version: v.optional(Semver, "0.0.0"),
  description: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
  display_name: v.optional(v.pipe(v.string(), v.maxLength(128))),
  author: v.optional(v.union([v.string(), v.record(v.string(), v.unknown())])),
  license: v.optional(v.string()),
  metadata: v.optional(v.record(v.string(), v.unknown())),
  pack_uuid: v.optional(v.string()),
  pack_identity_vocabulary: v.optional(v.array(v.string()), []),
  vocabulary: v.optional(v.object({ types: v.optional(Words), custom_types: v.optional(Words) })),
  components: v.optional(v.unknown()),
  uses_vocab: v.optional(v.unknown()),
  connectivity: v.optional(
    v.union([
      v.array(Requirement),
      v.object({ provides: v.optional(v.array(ServiceName), []), requires: v.optional(v.array(Requirement), []) }),
    ]),
  ),
  dependencies: v.optional(Dependencies),
  depends_on: v.optional(Dependencies),
  load_order: v.optional(v.union([v.pipe(v.number(), v.integer()), v.array(v.string())])),
  stores: v.optional(
    v.pipe(
      v.array(
        v.object({
          store_id: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,128}$/u)),
          max_bytes: v.optional(Count),
          max_keys: v.optional(Count),
        }),
      ),
      v.maxLength(MAX_DECLARED_STORES),
    ),
    [],
  ),
  required_secrets: v.optional(v.array(v.pipe(v.string(), v.regex(/^[A-Z0-9_]{1,64}$/u))), []),
  required_network: v.optional(
    v.object({ allowed_domains: v.optional(v.array(Domain), []), allowed_ports: v.optional(v.array(Port), []) }),
  ),
  egress_allow_domains: v.optional(v.array(Domain)),
  egress_deny_domains: v.optional(v.array(Domain)),
  pack_type: v.optional(v.picklist(["application", "rule", "library"]), "application"),
  provides_runtime: v.optional(v.array(v.string()), []),
  runtime_type: v.optional(v.string()),
  runtime: v.optional(v.object({ reuse: v.optional(v.boolean(), false) })),
  host_execution: v.optional(v.unknown()),
});
export type EcosystemJson = v.InferOutput<typeof EcosystemJson>;

/** Keys that packs in the wild carry and that mean nothing here: the operator decides them. */
export const IGNORED_MANIFEST_KEYS: ReadonlyMap<string, string> = new Map([
  ["allow_wildcard_modifiers", "only the operator's privilege counts (rumi privilege grant)"],
  ["enabled", "only the operator enables and disables packs (rumi pack enable, rumi pack disable)"],
  ["functions", "functions/<id>/manifest.json counts"],
]);

import { MIB, PermissionId } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import * as v from "valibot";
import * as field from "./config-fields.ts";
import { networkConfig, secretUseConfig } from "./network-schemas.ts";

/** What a grant of one permission may say. */
export interface GrantSpec {
  readonly permission_id: PermissionId;
  readonly aliases: readonly string[];
  /** Strict; also makes the config canonical (domains in lower case, memory in bytes). */
  readonly config: v.GenericSchema<unknown, JsonObject>;
  /** Filled in at every level before the levels are folded. */
  readonly defaults: JsonObject;
  /** False: not to be called through the broker (`secrets.use`, `network.egress`). */
  readonly callable: boolean;
  /** Handlers that packs supply have any object. */
  readonly built_in: boolean;
  /** Why a folded config allows nothing at all, or null. */
  nothing(config: JsonObject): string | null;
}

/** Every permission there is now. */
export interface GrantSpecs {
  /** By id or alias. One that nobody provides has the spec of a pack's handler: it may be granted before its handler comes. */
  find(name: string): GrantSpec;
  /** False: no built-in power and no installed handler goes by that name. */
  isKnown(name: string): boolean;
}

/** Largest config, as canonical JSON. Source: page "Trust", section 6. */
export const MAX_CONFIG_BYTES = 64 * 1024;

/** Limits that every grant may carry. */
const LIMITS = {
  max_uses: v.optional(field.count()),
  max_uses_per_day: v.optional(field.count()),
  rate_per_minute: v.optional(field.count()),
};

const DOCKER = {
  allowed_images: v.optional(field.Images),
  max_memory: v.optional(field.memory(1024 * MIB)),
  max_cpus: v.optional(field.amount(2)),
  max_pids: v.optional(field.count(200)),
  max_containers: v.optional(field.count(5)),
  max_execution_time: v.optional(field.count(600)),
};
const DOCKER_DEFAULTS = { max_memory: 256 * MIB, max_cpus: 0.5, max_pids: 50, max_containers: 3, max_execution_time: 60 };

const STORE = { allowed_store_ids: v.optional(field.StoreIds) };
const STORE_WRITE = { ...STORE, max_value_bytes: v.optional(field.count()) };

/** Kinds of messages that `pack.inbox.send` knows (page "Trust", section 8). */
const INBOX_KINDS = ["manifest_json_patch", "file_json_patch", "file_replace_json"];

interface Extra {
  readonly aliases?: readonly string[];
  readonly defaults?: JsonObject;
  readonly callable?: boolean;
}

/** A built-in permission: each of its allow-lists must hold something. */
function builtIn(id: string, fields: v.ObjectEntries, { aliases = [], defaults = {}, callable = true }: Extra = {}): GrantSpec {
  const lists = Object.keys(fields).filter((name) => name.startsWith("allowed_") && name !== "allowed_methods");
  const config = v.strictObject({ ...fields, ...LIMITS }) as unknown as GrantSpec["config"];
  return { permission_id: v.parse(PermissionId, id), aliases, config, defaults, callable, built_in: true, nothing: emptyList(lists) };
}

function emptyList(lists: readonly string[]): GrantSpec["nothing"] {
  return (config) => {
    const empty = lists.find((name) => !isFilled(config[name]));
    return empty === undefined ? null : `${empty} is empty`;
  };
}

function isFilled(list: JsonValue | undefined): boolean {
  return Array.isArray(list) && list.length > 0;
}

const network = networkConfig(LIMITS);

/** The built-in permissions (page "Trust", sections 6 and 8). */
const BUILT_IN: readonly GrantSpec[] = [
  builtIn("secrets.get", { allowed_keys: v.optional(field.SecretKeys) }),
  {
    ...builtIn("secrets.use", { allowed_bindings: v.optional(v.unknown()), allowed_slots: v.optional(v.unknown()) }, { callable: false }),
    config: secretUseConfig(LIMITS),
    defaults: { allowed_slots: ["header"] },
  },
  builtIn("store.get", STORE),
  builtIn("store.delete", STORE),
  builtIn("store.list", STORE),
  builtIn("store.batch_get", STORE),
  builtIn("store.set", STORE_WRITE, { defaults: { max_value_bytes: MIB } }),
  builtIn("store.cas", STORE_WRITE, { defaults: { max_value_bytes: MIB } }),
  builtIn("flow.run", { allowed_flow_ids: v.optional(field.FlowIds) }),
  builtIn("function.call", { allowed_functions: v.optional(field.Functions) }),
  builtIn("unit.run", STORE),
  builtIn(
    "pack.update",
    { allowed_pack_ids: v.optional(field.PackIds), allow_install: v.optional(v.boolean()) },
    { defaults: { allow_install: false } },
  ),
  builtIn(
    "pack.inbox.send",
    {
      allowed_target_packs: v.optional(field.PackIds),
      allowed_kinds: v.optional(field.wordList(INBOX_KINDS)),
      max_payload_bytes: v.optional(field.count()),
    },
    { aliases: ["inbox.send"], defaults: { max_payload_bytes: MIB } },
  ),
  builtIn(
    "code.propose_patch",
    {
      allowed_target_packs: v.optional(field.PackIds),
      allowed_paths: v.optional(field.Paths),
      max_payload_bytes: v.optional(field.count(MIB)),
    },
    { aliases: ["pack.update.propose_patch"], defaults: { max_payload_bytes: MIB } },
  ),
  ...["docker.run", "docker.exec", "docker.stop", "docker.logs", "docker.list"].map((id) =>
    builtIn(id, DOCKER, { defaults: DOCKER_DEFAULTS }),
  ),
  {
    ...builtIn("network.egress", {}, { callable: false }),
    config: network,
    defaults: { requests_per_minute: 60 },
    nothing: (config) => (isFilled(config.allow_private) ? null : emptyList(["allowed_domains", "allowed_ports"])(config)),
  },
];

/** The built-in permissions by id. */
export const GRANT_SPECS: ReadonlyMap<string, GrantSpec> = new Map(BUILT_IN.map((spec) => [spec.permission_id, spec]));

/** Built-in permissions, and those of installed handlers as `isHandler` tells. `requestsPerMinute`: `RUMI_EGRESS_RATE_LIMIT`. */
export function createGrantSpecs(
  options: { readonly isHandler?: (permission: string) => boolean; readonly requestsPerMinute?: number } = {},
): GrantSpecs {
  const { isHandler = () => false, requestsPerMinute = 60 } = options;
  const byName = new Map(BUILT_IN.flatMap((spec) => [spec.permission_id, ...spec.aliases].map((name) => [name, spec])));
  const egress = byName.get("network.egress");
  if (egress !== undefined) byName.set("network.egress", { ...egress, defaults: { requests_per_minute: requestsPerMinute } });
  return {
    find: (name) => byName.get(name) ?? handlerSpec(v.parse(PermissionId, name)),
    isKnown: (name) => byName.has(name) || isHandler(name),
  };
}

/** A handler's own config: any object, but for the limits that all grants have. */
function handlerSpec(permission_id: PermissionId): GrantSpec {
  const config = v.looseObject(LIMITS) as unknown as GrantSpec["config"];
  return { permission_id, aliases: [], config, defaults: {}, callable: true, built_in: false, nothing: () => null };
}

/** Numbers that the spec lowered to what may be granted at most, in words. */
export function loweredNumbers(asked: JsonObject, kept: JsonObject): string[] {
  return Object.entries(kept).flatMap(([name, value]) => {
    const wanted = v.safeParse(field.memory(Number.MAX_SAFE_INTEGER), asked[name]);
    const number = typeof asked[name] === "string" && wanted.success ? wanted.output : asked[name];
    return typeof value === "number" && typeof number === "number" && number > value
      ? [`${name} ${JSON.stringify(asked[name])} is more than may be granted; ${value} was granted`]
      : [];
  });
}

import type { JsonObject, JsonValue } from "@rumi/core";
import type { DeclaredPermission } from "./permissions-json.ts";
import type { PackDescription } from "./read-pack.ts";

/** Operations on a store that a pack may wish for, as the last word of their permission. */
const STORE_OPERATIONS: ReadonlySet<string> = new Set(["get", "set", "delete", "list", "batch_get", "cas"]);

/**
 * What the files of a pack wish for, as rights: the config that `permissions.json`, `required_secrets` and `required_network`
 * amount to, by permission id. A secret with hosts is a wish for its use in requests to them, one without for its value.
 * Stores of the manifest go by their whole id. Everything in it is pack-controlled and grants nothing.
 */
export function declaredRights(pack: Pick<PackDescription, "pack_id" | "manifest" | "permissions">): ReadonlyMap<string, JsonObject> {
  const rights = new Map<string, JsonObject>();
  const wish = (permission: string, config: JsonObject): void => {
    rights.set(permission, widened(rights.get(permission) ?? {}, config));
  };
  const own = new Set(pack.manifest.stores.map((store) => store.store_id));
  const whole = (id: JsonValue): JsonValue => (typeof id === "string" && own.has(id) ? `${pack.pack_id}__${id}` : id);
  const bound = new Set<string>();
  for (const permission of pack.permissions ?? []) wishOf(permission, wish, whole, bound);
  const { required_network: network, required_secrets: secrets } = pack.manifest;
  if (network !== undefined) wish("network.egress", { allowed_domains: network.allowed_domains, allowed_ports: network.allowed_ports });
  const values = secrets.filter((key) => !bound.has(key));
  if (values.length > 0) wish("secrets.get", { allowed_keys: values });
  return rights;
}

function wishOf(
  permission: DeclaredPermission,
  wish: (permission: string, config: JsonObject) => void,
  whole: (id: JsonValue) => JsonValue,
  bound: Set<string>,
): void {
  switch (permission.type) {
    case "network":
      wish("network.egress", { allowed_domains: permission.domains, allowed_ports: permission.ports });
      break;
    case "capability": {
      const config = JSON.parse(JSON.stringify(permission.config)) as JsonObject;
      const stores = config["allowed_store_ids"];
      wish(permission.permission_id, Array.isArray(stores) ? { ...config, allowed_store_ids: stores.map(whole) } : config);
      break;
    }
    case "secret":
      if (permission.hosts.length === 0) {
        wish("secrets.get", { allowed_keys: permission.keys });
        break;
      }
      for (const key of permission.keys) bound.add(key);
      wish("secrets.use", { allowed_bindings: permission.keys.flatMap((key) => permission.hosts.map((host) => `${key}@${host}`)) });
      break;
    default:
      for (const operation of permission.operations)
        if (STORE_OPERATIONS.has(operation)) wish(`store.${operation}`, { allowed_store_ids: permission.store_ids.map(whole) });
  }
}

/** Both wishes together: lists joined, of numbers the larger, either yes. */
function widened(first: JsonObject, second: JsonObject): JsonObject {
  const joined = new Map<string, JsonValue>(Object.entries(first));
  for (const [name, value] of Object.entries(second)) {
    const before = joined.get(name);
    if (Array.isArray(before) && Array.isArray(value)) joined.set(name, [...new Set([...before, ...value])]);
    else if (typeof before === "number" && typeof value === "number") joined.set(name, Math.max(before, value));
    else if (before === undefined || typeof before === "boolean") joined.set(name, before === true ? before : value);
  }
  return Object.fromEntries(joined);
}

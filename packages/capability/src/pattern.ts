import type { JsonObject, JsonValue } from "@rumi/core";

/** True when everything that `item` names is also named by `pattern`: equal, `"*"`, `*.x` (x and below), `p*` (prefix p). */
export function covers(_pattern: JsonValue, _item: JsonValue): boolean {
  throw new Error("to be filled in");
}

/** True when the allow-list `key` of a folded config names `item`. Absent or empty: false. */
export function isListed(_config: JsonObject, _key: string, _item: string | number): boolean {
  throw new Error("to be filled in");
}

/** True when `allowed_bindings` of a folded `secrets.use` config binds the secret to the host (canonical). */
export function isBound(_config: JsonObject, _key: string, _host: string): boolean {
  throw new Error("to be filled in");
}

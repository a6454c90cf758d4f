import { PackId, SecretKey } from "@rumi/core";
import * as v from "valibot";
import { list, Note, PageEntries, Time } from "./common.ts";
import { GrantView } from "./rights.ts";

/** One secret as it may be shown: never its value. */
export const SecretView = v.object({
  key: v.string(),
  exists: v.boolean(),
  deleted: v.boolean(),
  masked: v.string(),
  created_at: v.optional(v.nullable(v.string())),
  updated_at: v.optional(v.nullable(v.string())),
  deleted_at: v.optional(v.nullable(v.string())),
  last_used_at: v.optional(v.nullable(v.string())),
  /** Set when the file cannot be believed or decrypted. */
  unreadable: v.optional(v.boolean()),
});
export type SecretView = v.InferOutput<typeof SecretView>;

/** `locked`: the secrets key is gone or wrong, so nothing can be set or used. */
export const SecretsState = v.picklist(["open", "locked"]);
export const SecretListQuery = v.strictObject(PageEntries);
export const SecretList = v.object({
  secrets: list(SecretView),
  count: v.number(),
  next_cursor: v.nullable(v.string()),
  state: SecretsState,
});
/** Every secret, without values. */
export interface SecretListing {
  readonly state: v.InferOutput<typeof SecretsState>;
  readonly secrets: readonly SecretView[];
}

/** Length of `value` in bytes is judged by the store of secrets. */
export const SecretSetBody = v.strictObject({ key: SecretKey, value: v.string() });
export const SecretSetAnswer = v.object({ key: v.string(), created: v.boolean(), warnings: list(v.unknown()) });
export type SecretSetAnswer = v.InferOutput<typeof SecretSetAnswer>;
export const SecretDeleteBody = v.strictObject({ key: SecretKey });
export const SecretDeleted = v.object({ key: v.string(), deleted: v.boolean() });
/** How many secrets are sealed under the new key. */
export const SecretKeyRotated = v.object({ rotated: v.number() });
export type SecretKeyRotated = v.InferOutput<typeof SecretKeyRotated>;

/** Where a brokered value may stand in a request. Source: page 20, section 9. */
export const SLOTS = ["header", "query", "body"] as const;
/** `KEY@host`. The host's grammar is judged with the grant. */
const Binding = v.pipe(v.string(), v.maxLength(320), v.regex(/^[A-Z0-9_]{1,64}@\S+$/u));
const Bindings = v.pipe(v.array(Binding), v.minLength(1), v.maxLength(1000));
const Keys = v.pipe(v.array(SecretKey), v.minLength(1), v.maxLength(1000));
const Terms = { expires_at: v.optional(Time), notes: v.optional(Note) } as const;
const Use = { mode: v.literal("use"), bindings: Bindings, slots: v.optional(v.pipe(v.array(v.picklist(SLOTS)), v.minLength(1))), ...Terms };
const Get = { mode: v.literal("get"), keys: Keys, ...Terms };
/** `secret_keys` is another name of `keys`; one of them is given. */
const GetAlias = { mode: v.literal("get"), secret_keys: Keys, ...Terms };

/** `use`: the proxy puts the value in, the pack never holds it. `get`: the pack reads the value. */
export const SecretGrantBody = v.variant("mode", [v.strictObject(Use), v.strictObject(Get), v.strictObject(GetAlias)]);
export type SecretGrantBody = v.InferOutput<typeof SecretGrantBody>;
export const NamedSecretGrantBody = v.variant("mode", [
  v.strictObject({ pack_id: PackId, ...Use }),
  v.strictObject({ pack_id: PackId, ...Get }),
  v.strictObject({ pack_id: PackId, ...GetAlias }),
]);
export const SecretGrantParams = v.strictObject({ pack_id: PackId });
export const SecretGrantKeyParams = v.strictObject({ pack_id: PackId, key: SecretKey });

/** The rights of one pack on secrets; null where it holds none. */
export const SecretGrants = v.object({ pack_id: v.string(), use: v.nullable(GrantView), get: v.nullable(GrantView) });
export type SecretGrants = v.InferOutput<typeof SecretGrants>;
export const SecretGrantList = v.object({ grants: v.record(v.string(), SecretGrants), count: v.number() });

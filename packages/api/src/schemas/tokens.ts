import { FlowId } from "@rumi/core";
import * as v from "valibot";
import { list, Time } from "./common.ts";

/** What a token may do. `approve` includes `read`; `admin` includes all. */
export const Scope = v.picklist(["read", "run", "approve", "admin"]);
export type Scope = v.InferOutput<typeof Scope>;

export const TokenId = v.pipe(v.string(), v.regex(/^tok_[0-9a-f]{16}$/u));
const TokenName = v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.regex(/^[^\p{Cc}\p{Cf}]*$/u));
const AllowedFlows = v.union([v.literal("*"), list(FlowId)]);

/** One token as it may be shown: never its value, never its hash. */
export const TokenView = v.object({
  id: v.string(),
  name: v.string(),
  scopes: list(Scope),
  allowed_flow_ids: v.optional(v.union([v.literal("*"), list(v.string())])),
  created_at: v.string(),
  created_by: v.string(),
  expires_at: v.optional(v.string()),
  last_used_at: v.optional(v.string()),
});
export type TokenView = v.InferOutput<typeof TokenView>;

/** A token in the one answer that shows its value. */
export const IssuedToken = v.object({ ...TokenView.entries, token: v.string() });
export type IssuedToken = v.InferOutput<typeof IssuedToken>;

const Sha256Hex = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u));

/** One token as it is kept. Only hashes; `previous` still passes until its time. */
export const TokenRecord = v.object({
  id: TokenId,
  name: v.string(),
  scopes: list(Scope),
  allowed_flow_ids: v.optional(v.union([v.literal("*"), list(v.string())])),
  created_at: v.string(),
  created_by: v.string(),
  expires_at: v.optional(v.string()),
  last_used_at: v.optional(v.string()),
  sha256: Sha256Hex,
  previous: v.optional(v.object({ sha256: Sha256Hex, until: v.string() })),
});
export type TokenRecord = v.InferOutput<typeof TokenRecord>;

export const TokenParams = v.strictObject({ id: TokenId });
export const CreateTokenBody = v.strictObject({
  name: TokenName,
  scopes: v.pipe(v.array(Scope), v.minLength(1), v.maxLength(4)),
  allowed_flow_ids: v.optional(AllowedFlows),
  expires_at: v.optional(Time),
});
/** Longest grace of a rotated token, seconds: thirty days. */
export const MAX_GRACE_SECONDS = 2_592_000;
/** A rotated token's grace when none is asked for, seconds. Source: page 40, section 2. */
export const DEFAULT_GRACE_SECONDS = 86_400;
export const RotateBody = v.strictObject({
  grace_seconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE_SECONDS))),
});
export const RemovedAnswer = v.object({ id: v.string(), removed: v.boolean() });

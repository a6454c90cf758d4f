import { PackId } from "@rumi/core";
import * as v from "valibot";
import { JsonMap, list, Note, Time } from "./common.ts";

/** Longest report, seconds. Source: page 40, section 3. */
export const MAX_REPORT_SECONDS = 3600;
/** Methods the proxy knows. Source: page 30, section 9. */
export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] as const;

/** A host as it is written: a name, `*.name`, `"*"` or a global address. Its grammar is judged with the grant. */
const Domain = v.pipe(v.string(), v.minLength(1), v.maxLength(255));
const PortNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const PortRule = v.union([v.literal("*"), PortNumber]);
/** `host:port`. */
const Pair = v.pipe(v.string(), v.maxLength(270), v.regex(/^.+:\d{1,5}$/u));

/** What of the outside a pack may reach. Both lists are required; an empty one means nothing. */
const Limits = {
  allowed_domains: v.pipe(list(Domain), v.maxLength(1000)),
  allowed_ports: v.pipe(list(PortRule), v.maxLength(1000)),
  allow_private: v.optional(v.pipe(list(Pair), v.maxLength(1000))),
  allowed_methods: v.optional(list(v.picklist(METHODS))),
  requests_per_minute: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000))),
} as const;

export const NetworkGrantBody = v.strictObject({ pack_id: PackId, ...Limits, expires_at: v.optional(Time), notes: v.optional(Note) });
/** A network grant to give; it replaces the one there is. */
export type NetworkAsk = v.InferOutput<typeof NetworkGrantBody>;

/** One network grant as it is held. */
export const NetworkGrantView = v.object({
  pack_id: v.string(),
  allowed_domains: list(v.string()),
  allowed_ports: list(v.union([v.string(), v.number()])),
  allow_private: v.optional(list(v.string())),
  allowed_methods: v.optional(list(v.string())),
  requests_per_minute: v.optional(v.number()),
  granted_at: v.string(),
  granted_by: v.string(),
  expires_at: v.optional(v.nullable(v.string())),
  notes: v.optional(v.nullable(v.string())),
  undeclared: list(v.unknown()),
  last_used_at: v.optional(v.nullable(v.string())),
});
export type NetworkGrantView = v.InferOutput<typeof NetworkGrantView>;

/** `disabled_packs`: packs that hold a grant which sleeps, each with the reason. */
export const NetworkList = v.object({
  grants: v.record(v.string(), NetworkGrantView),
  grant_count: v.number(),
  disabled_packs: v.record(v.string(), v.string()),
  disabled_count: v.number(),
});
/** Grants by pack, and why some of them sleep. */
export interface NetworkListing {
  readonly grants: Readonly<Record<string, NetworkGrantView>>;
  readonly disabled_packs: Readonly<Record<string, string>>;
}

export const NetworkGranted = v.object({ grant: NetworkGrantView, undeclared: list(v.unknown()), warnings: list(v.unknown()) });
export type NetworkGranted = v.InferOutput<typeof NetworkGranted>;

export const NetworkRevokeBody = v.strictObject({ pack_id: PackId, reason: v.optional(Note) });
export const NetworkRevoked = v.object({ pack_id: v.string(), revoked: v.boolean() });

export const NetworkCheckBody = v.strictObject({ pack_id: PackId, domain: Domain, port: PortNumber });
/** Whether a grant covers this host and port; no name is resolved. */
export const NetworkVerdict = v.object({
  allowed: v.boolean(),
  reason: v.string(),
  pack_id: v.string(),
  domain: v.string(),
  port: v.number(),
});
export type NetworkVerdict = v.InferOutput<typeof NetworkVerdict>;

export const ReportBody = v.strictObject({
  pack_id: PackId,
  /** 0 ends a report. */
  seconds: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_REPORT_SECONDS)),
});
export const ReportStarted = v.object({ until: v.nullable(v.string()) });
export const ReportQuery = v.strictObject({ pack_id: PackId });
/** What a pack asked of the outside, and the smallest grant that would let all of it through. */
export const NetworkReport = v.object({
  until: v.optional(v.nullable(v.string())),
  observed: list(
    v.object({
      domain: v.string(),
      port: v.number(),
      count: v.number(),
      would_allow: v.boolean(),
      last_at: v.string(),
    }),
  ),
  proposed: v.nullable(JsonMap),
});
export type NetworkReport = v.InferOutput<typeof NetworkReport>;

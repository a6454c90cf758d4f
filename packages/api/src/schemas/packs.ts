import { Digest, PackId } from "@rumi/core";
import * as v from "valibot";
import { DigestText, list, Note, Time } from "./common.ts";
import { DeclaredRight } from "./rights.ts";

/** The states of a pack, as page 20 section 5 moves them. */
export const PackStatus = v.picklist(["installed", "approved", "modified", "blocked", "error"]);
export type PackStatus = v.InferOutput<typeof PackStatus>;

/** One line of the pack list. */
export const PackSummary = v.object({
  pack_id: v.string(),
  status: PackStatus,
  enabled: v.boolean(),
  version: v.nullable(v.string()),
  pack_identity: v.nullable(v.string()),
  digest: v.nullable(DigestText),
});
export type PackSummary = v.InferOutput<typeof PackSummary>;

/** A fault in a pack's own files. */
export const PackFault = v.object({
  code: v.string(),
  severity: v.optional(v.picklist(["error", "warning"])),
  file: v.optional(v.string()),
  path: v.optional(v.string()),
  message: v.string(),
  remedy: v.optional(v.string()),
});
export type PackFault = v.InferOutput<typeof PackFault>;

/** How one pack stands. */
export const PackState = v.object({
  pack_id: v.string(),
  status: PackStatus,
  reason: v.nullable(v.string()),
  enabled: v.boolean(),
  live_digest: v.nullable(DigestText),
  approved_digest: v.nullable(DigestText),
  approved_at: v.nullable(Time),
  network_enabled: v.boolean(),
  instances: v.number(),
  origin: v.optional(v.nullable(v.string())),
  history: v.optional(list(v.unknown())),
  problems: list(PackFault),
});
export type PackState = v.InferOutput<typeof PackState>;

/** A file named in a review; `diff` is a unified diff of a readable file, absent when too big or not text. */
export const ReviewFile = v.object({
  path: v.string(),
  size: v.optional(v.nullable(v.number())),
  executable: v.optional(v.boolean()),
  diff: v.optional(v.nullable(v.string())),
});
export type ReviewFile = v.InferOutput<typeof ReviewFile>;

/** What one kind of thing gains, loses and changes. The items are pack-controlled JSON. */
export const ReviewChange = v.object({ added: list(v.unknown()), removed: list(v.unknown()), changed: list(v.unknown()) });
export type ReviewChange = v.InferOutput<typeof ReviewChange>;

/** Sections of a review, in the order they are shown. Source: page 20, section 5. */
export const REVIEW_SECTIONS = [
  "permissions",
  "domains",
  "routes",
  "schedules",
  "modifiers",
  "dependencies",
  "handlers",
  "functions",
  "stores",
  "secrets",
  "lib",
] as const;
export type ReviewSection = (typeof REVIEW_SECTIONS)[number];

/** What an approval would say yes to, against the last approved snapshot. */
export const PackReview = v.object({
  pack_id: v.string(),
  status: PackStatus,
  reason: v.optional(v.nullable(v.string())),
  digest: v.nullable(DigestText),
  base_digest: v.nullable(DigestText),
  version: v.optional(v.nullable(v.string())),
  pack_identity: v.optional(v.nullable(v.string())),
  files: v.object({ added: list(ReviewFile), removed: list(ReviewFile), changed: list(ReviewFile) }),
  permissions: v.optional(ReviewChange),
  domains: v.optional(ReviewChange),
  routes: v.optional(ReviewChange),
  schedules: v.optional(ReviewChange),
  modifiers: v.optional(ReviewChange),
  dependencies: v.optional(ReviewChange),
  handlers: v.optional(ReviewChange),
  functions: v.optional(ReviewChange),
  stores: v.optional(ReviewChange),
  secrets: v.optional(ReviewChange),
  lib: v.optional(ReviewChange),
  host_execution: v.optional(v.unknown()),
  /** Rights that wake with the approval. */
  sleeping_grants: v.optional(list(v.unknown())),
  /** Rights that the pack holds beyond what it declares. */
  undeclared_grants: v.optional(list(v.unknown())),
  /** What an approval with `grant_declared` would give. */
  declared_grants: v.optional(list(DeclaredRight)),
  warnings: list(v.unknown()),
  history: v.optional(list(v.unknown())),
});
export type PackReview = v.InferOutput<typeof PackReview>;

/** What a scan of the ecosystem folder found. `changed` names the packs whose status moved. */
export const ScanAnswer = v.object({ scanned: v.number(), packs: v.unknown(), changed: v.unknown() });
export type ScanAnswer = v.InferOutput<typeof ScanAnswer>;

/** What an approval did. `granted` and `stores_created` name rights and stores, empty when none. */
export const ApproveAnswer = v.object({
  pack_id: v.string(),
  status: PackStatus,
  digest: DigestText,
  granted: v.optional(list(v.unknown())),
  stores_created: v.optional(list(v.unknown())),
  warnings: list(v.unknown()),
});
export type ApproveAnswer = v.InferOutput<typeof ApproveAnswer>;

export const RejectAnswer = v.object({ pack_id: v.string(), status: PackStatus, reason: v.nullable(v.string()) });
export type RejectAnswer = v.InferOutput<typeof RejectAnswer>;

export const EnabledAnswer = v.object({ enabled: v.boolean() });

export const PackParams = v.strictObject({ id: PackId });
export const PackListQuery = { status: v.optional(PackStatus) } as const;
export const ApproveBody = v.strictObject({
  expected_digest: v.optional(Digest),
  unblock: v.optional(v.boolean()),
  /** Also give what the pack declares, but no `"*"` and no private address. */
  grant_declared: v.optional(v.boolean()),
  notes: v.optional(Note),
});
export const RejectBody = v.strictObject({ reason: v.optional(Note) });

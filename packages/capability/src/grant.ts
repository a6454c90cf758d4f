import { PermissionId } from "@rumi/core";
import type { JsonObject, PackId } from "@rumi/core";
import * as v from "valibot";

const Time = v.pipe(v.string(), v.isoTimestamp());

/** One right of one principal as it lies on disk. `config` was checked by its permission's spec when it was granted. */
export const GrantRecord = v.strictObject({
  permission_id: PermissionId,
  config: v.custom<JsonObject>((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  granted_at: Time,
  granted_by: v.string(),
  expires_at: v.optional(Time),
  notes: v.optional(v.string()),
  /** What of it the pack's own files did not ask for, in words; empty when all of it was. */
  undeclared: v.array(v.string()),
});
export type GrantRecord = v.InferOutput<typeof GrantRecord>;

/** A right as a listing shows it. */
export interface Grant extends GrantRecord {
  /** Against what the pack declares now. */
  readonly undeclared: string[];
  readonly last_used_at: string | null;
}

/** What an operator asks for. `permission_id` may be an alias. */
export interface GrantAsk {
  readonly principal_id: string;
  readonly permission_id: string;
  /** Left out: `{}`. */
  readonly config?: unknown;
  /** UTC ISO time in the future; left out: for good. */
  readonly expires_at?: string | null;
  readonly notes?: string;
  readonly actor: string;
}

/** What was granted, and what an operator should know of it. */
export interface GrantAnswer {
  readonly principal_id: PackId;
  /** Never an alias. */
  readonly permission_id: PermissionId;
  readonly granted: true;
  /** As kept: canonical domains, sizes in bytes; without the defaults. */
  readonly config: JsonObject;
  readonly grant: Grant;
  readonly undeclared: readonly string[];
  readonly warnings: readonly string[];
}

/** How a batch went, each grant for itself. */
export interface BatchAnswer {
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly results: readonly {
    readonly principal_id: string;
    readonly permission_id: string;
    readonly granted: boolean;
    readonly code: string | null;
    readonly error: string | null;
    readonly undeclared?: readonly string[];
    readonly warnings?: readonly string[];
  }[];
}

/** A right that came, went or changed. */
export interface GrantChange {
  readonly principal_id: PackId;
  readonly permission_id: PermissionId;
}

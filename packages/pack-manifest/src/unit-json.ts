import * as v from "valibot";
import { Entrypoint } from "./function-json.ts";

const Name = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,127}$/u));

/** What a unit may be. Source: page "Trust", section 11. */
export const UNIT_KINDS = ["data", "python", "node", "binary"] as const;
/** Where a unit may run. */
export const UNIT_MODES = ["pack_container", "sandbox", "host_capability"] as const;

/** `unit.json` of a reusable unit. Unknown keys mean nothing. */
export const UnitJson = v.object({
  unit_id: Name,
  version: Name,
  kind: v.optional(v.picklist(UNIT_KINDS), "data"),
  entrypoint: v.optional(v.union([Entrypoint, v.pipe(v.string(), v.maxLength(512), v.regex(/^[^:]+$/u))])),
  /** None: it never runs. */
  exec_modes_allowed: v.optional(v.array(v.picklist(UNIT_MODES)), []),
  permission_id: v.optional(v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/u))),
  requires_individual_approval: v.optional(v.boolean(), true),
  description: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
});
export type UnitJson = v.InferOutput<typeof UnitJson>;

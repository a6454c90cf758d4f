import { isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue, PermissionId } from "@rumi/core";
import * as v from "valibot";
import { issueText } from "./grant-ask.ts";
import type { GrantSpecs } from "./grant-specs.ts";

/** What one yes may give of a declared right, and what needs the operator's own act. */
export interface DeclaredGrant {
  readonly permission_id: PermissionId;
  /** Null: nothing of it is left. */
  readonly config: JsonObject | null;
  /** What was left out, in words: `"*"`, private addresses, what its permission does not know. */
  readonly left_out: readonly string[];
}

/** The declared rights of a pack without `"*"` and private addresses. `declared` is pack-controlled and of any form. */
export function planDeclaredGrants(declared: ReadonlyMap<PermissionId, JsonObject>, specs: GrantSpecs): DeclaredGrant[] {
  return [...declared].map(([name, wish]) => {
    const spec = specs.find(name);
    const { permission_id } = spec;
    const left_out: string[] = [];
    const narrowed = narrow(wish, left_out);
    const parsed = v.safeParse(spec.config, narrowed);
    if (!parsed.success) return { permission_id, config: null, left_out: [...left_out, issueText(parsed.issues[0])] };
    const nothing = spec.nothing({ ...spec.defaults, ...parsed.output });
    if (nothing !== null) return { permission_id, config: null, left_out: [...left_out, nothing] };
    return { permission_id, config: parsed.output, left_out };
  });
}

function narrow(wish: JsonObject, left_out: string[]): JsonObject {
  const entries = Object.entries(wish).flatMap(([name, value]): [string, JsonValue][] => {
    if (name === "allow_private") {
      left_out.push(`${name}: ${JSON.stringify(value).slice(0, 200)}`);
      return [];
    }
    if (Array.isArray(value) && value.includes("*")) {
      left_out.push(`${name}: "*"`);
      return [[name, value.filter((item: JsonValue) => item !== "*")]];
    }
    return [[name, isJsonObject(value) ? narrow(value, left_out) : value]];
  });
  return Object.fromEntries(entries);
}

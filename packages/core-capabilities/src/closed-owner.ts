import { PackId } from "@rumi/core";
import type { Refusal } from "@rumi/core";
import * as v from "valibot";
import type { ApprovedPacks } from "./ports.ts";

/** Why the pack in `<pack_id>:<function_id>` may not run, when it is there: its functions are known to nobody then. `name` is pack-controlled. */
export function closedOwner(approvals: ApprovedPacks, name: string): { readonly pack_id: PackId; readonly refusal: Refusal } | null {
  const pack = name.includes(":") ? v.safeParse(PackId, name.slice(0, name.indexOf(":"))) : null;
  if (pack?.success !== true) return null;
  const gate = approvals.gate(pack.output);
  return gate.allowed || gate.code === "approval.pack_not_found" ? null : { pack_id: pack.output, refusal: gate };
}

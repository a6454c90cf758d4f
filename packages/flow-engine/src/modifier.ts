import type { FlowId, PackId } from "@rumi/core";
import type { FlowSource, Step } from "./definition.ts";

export const MODIFIER_ACTIONS = ["inject_before", "inject_after", "append", "replace", "remove"] as const;
/** What a modifier does to its target. */
export type ModifierAction = (typeof MODIFIER_ACTIONS)[number];

/** A modifier file that passed every load rule. `step` is null for `remove` alone; its phase comes with the target. */
export interface ModifierDefinition {
  readonly modifier_id: FlowId;
  readonly source: FlowSource;
  /** A flow id, or a glob over flow ids. */
  readonly target_flow_id: string;
  /** A top-level step, `__first__`, `__last__`; null for `append`. */
  readonly target_step_id: string | null;
  readonly action: ModifierAction;
  /** Null: the target's; for `append` the flow's last. */
  readonly phase: string | null;
  readonly priority: number;
  readonly step: Step | null;
  readonly requires: { readonly interfaces: readonly string[]; readonly capabilities: readonly string[] };
  /** Maps `target_flow_id` through the dictionary first; the namespace, or null. */
  readonly resolve_namespace: string | null;
  /** Modifier ids, plain or `pack/id`. */
  readonly conflicts_with: readonly string[];
}

/** Where a step of an effective flow comes from. */
export interface StepOrigin {
  readonly source: FlowSource["source"];
  readonly pack_id: PackId | null;
  readonly file: string;
  /** Null for a step of the flow's own file. */
  readonly modifier_id: string | null;
  readonly action: ModifierAction | null;
  /** Of a replacement: the id that the new step bore in its own file. */
  readonly replaced_id: string | null;
}

/** A step that a modifier took out. */
export interface RemovedStep {
  readonly id: string;
  readonly by: { readonly modifier_id: string; readonly pack_id: PackId | null };
}

/** Why a modifier was not applied to a flow. */
export type ModifierSkip =
  | "flow_not_found"
  | "official_flow"
  | "wildcard_not_allowed"
  | `requires_not_satisfied:${string}`
  | "phase_not_found"
  | "conflict"
  | "target_step_not_found"
  | "phase_mismatch"
  | "protected_step"
  | "replace_not_allowed"
  | "consent_missing"
  | "duplicate_step_id"
  | `conflicts_with:${string}`
  | "invalid_result";

/** What became of one modifier at one flow. */
export interface ModifierRecord {
  readonly modifier_id: string;
  readonly source: FlowSource["source"];
  readonly pack_id: PackId | null;
  /** As written where no flow is meant. */
  readonly target_flow_id: string;
  /** As resolved; null for `append` and for a target that was not found. */
  readonly target_step_id: string | null;
  readonly action: ModifierAction;
  /** The target is a glob that reaches beyond the pack's own flows, or any glob of a shared modifier. */
  readonly wide: boolean;
  readonly applied: boolean;
  readonly skipped_reason: ModifierSkip | null;
}

/** What packs may do to flows of others: the operator's decisions. Memory only. */
export interface ModifierRights {
  /** The host privilege `allow_wildcard_modifiers`. */
  mayReachWide(pack: PackId): boolean;
  /** Keys whose overwriting the approval of this pack's bytes listed for this modifier. */
  consentedOverwrites(pack: PackId, modifierId: string): ReadonlySet<string>;
}

/** What there is for `requires`. Memory only. */
export interface ModifierFacts {
  hasInterface(name: string): boolean;
  hasCapability(name: string): boolean;
  /** The end of a dictionary chain; the token itself when there is none. */
  resolve(namespace: string, token: string): string;
}

/** Whose modifier it is, as `pack/id` or, of a shared one, the plain id. */
export function modifierName({ modifier_id: id, source }: Pick<ModifierDefinition, "modifier_id" | "source">): string {
  return source.pack_id === null ? id : `${source.pack_id}/${id}`;
}

import { SYSTEM_PRINCIPAL } from "@rumi/core";
import type { JsonObject, PackId } from "@rumi/core";
import { FlowError } from "@rumi/flow-engine";

/** What is wrong with arguments that have to be texts; absent ones are, too, when they are `needed`. */
export function textFaults(args: JsonObject, needed: readonly string[], optional: readonly string[] = []): string[] {
  return [
    ...needed.filter((name) => typeof args[name] !== "string").map((name) => `${name} must be a text`),
    ...optional.filter((name) => !isTextOrAbsent(args[name] ?? null)).map((name) => `${name} must be a text when it is given`),
  ];
}

/** @throws FlowError `kernel.invalid_args` when there is one */
export function refuseFaults([fault]: readonly string[]): void {
  if (fault !== undefined) throw new FlowError("kernel.invalid_args", fault);
}

/** A checked argument; null when it is absent. */
export function textOf(args: JsonObject, name: string): string | null {
  const value = args[name];
  return typeof value === "string" ? value : null;
}

/** Whose words are asked for: a pack's step gets its own, the system's names a pack. @throws FlowError `kernel.invalid_args` */
export function ownPack(args: JsonObject, principal: string): PackId {
  const named = textOf(args, "pack_id");
  if (principal !== SYSTEM_PRINCIPAL) {
    if (named !== null && named !== principal)
      throw new FlowError("kernel.invalid_args", "pack_id is for official and shared flows: a pack's step gets its own pack's words");
    return principal as PackId;
  }
  if (named === null) throw new FlowError("kernel.invalid_args", "pack_id must name a pack");
  return named as PackId;
}

function isTextOrAbsent(value: unknown): boolean {
  return value === null || typeof value === "string";
}

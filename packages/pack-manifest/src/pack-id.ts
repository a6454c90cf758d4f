import { PackId, principalChain } from "@rumi/core";
import * as v from "valibot";

/** Ids no pack may have, in any case, at its root level. Source: decision 3.3. */
export const RESERVED_PACK_IDS: ReadonlySet<string> = new Set(["kernel", "system", "packs", "flows", "local_pack", "sandbox"]);

/** Start of every id kept for the project itself. Source: decision 3.3. */
export const RESERVED_PACK_PREFIX = "core_";

/** The answer of `checkPackId`. */
export type PackIdCheck =
  | { readonly ok: true; readonly id: PackId }
  | {
      readonly ok: false;
      readonly code: "pack_manifest.invalid_pack_id" | "pack_manifest.reserved" | "pack_manifest.lookalike";
      readonly message: string;
    };

/**
 * Judges a folder name as a pack id: pattern, levels, reserved words, and look-alikes of `known` ids.
 * A name that is itself in `known` was there first and is no newcomer.
 */
export function checkPackId(name: string, known: readonly string[]): PackIdCheck {
  const parsed = v.safeParse(PackId, name);
  if (!parsed.success) {
    return {
      ok: false,
      code: "pack_manifest.invalid_pack_id",
      message: "a pack id is 1 to 64 letters, digits, _ and -",
    };
  }
  const id = parsed.output;
  if (id.split("__").some((level) => level === "" || level.startsWith("_") || level.endsWith("_"))) {
    return {
      ok: false,
      code: "pack_manifest.invalid_pack_id",
      message: "no level of a pack id (split at __) may be empty or have _ at its ends",
    };
  }
  if (principalChain(id).some(isReserved)) {
    return { ok: false, code: "pack_manifest.reserved", message: `the pack id ${id} is reserved` };
  }
  if (!known.includes(id)) {
    const shape = packIdShape(id);
    const twin = known.find((other) => packIdShape(other) === shape);
    if (twin !== undefined) {
      return { ok: false, code: "pack_manifest.lookalike", message: `${id} looks like the pack ${twin}` };
    }
  }
  return { ok: true, id };
}

/** True for a name that has the form of a pack id; levels, reserved words and look-alikes are `checkPackId`'s. */
export function isPackId(name: string): name is PackId {
  return v.is(PackId, name);
}

/** What the eye sees of an id: lower case, `0` = `o`, `1` = `i` = `l`, `-` = `_`. Equal shapes look alike. */
export function packIdShape(id: string): string {
  return id.toLowerCase().replaceAll("0", "o").replaceAll(/[1i]/gu, "l").replaceAll("-", "_");
}

function isReserved(id: string): boolean {
  const lower = id.toLowerCase();
  return RESERVED_PACK_IDS.has(lower) || lower.startsWith(RESERVED_PACK_PREFIX);
}

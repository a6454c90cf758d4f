import type { JsonObject } from "@rumi/core";

export type Folded = { readonly ok: true; readonly config: JsonObject } | { readonly ok: false; readonly conflict: string };

/** What configs of all levels allow together; never more than any of them. The order does not matter. */
export function foldGrants(_levels: readonly JsonObject[]): Folded {
  throw new Error("to be filled in");
}

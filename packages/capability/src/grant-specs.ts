import type { JsonObject, PermissionId } from "@rumi/core";
import * as v from "valibot";

/** What a grant of one permission may say. */
export interface GrantSpec {
  readonly permission_id: PermissionId;
  readonly aliases: readonly string[];
  /** Strict; also makes the config canonical (domains in lower case, memory in bytes). */
  readonly config: v.GenericSchema<unknown, JsonObject>;
  /** Filled in at every level before the levels are folded. */
  readonly defaults: JsonObject;
  /** Allow-lists of which each must still hold something after folding; else every use is denied. */
  readonly allow_lists: readonly string[];
  /** False: not to be called through the broker (`secrets.use`, `network.egress`). */
  readonly callable: boolean;
  /** Handlers that packs supply have any object. */
  readonly built_in: boolean;
}

/** Every permission there is now. */
export interface GrantSpecs {
  /** By id or alias. A permission nobody provides has the spec of a pack's handler: it may be granted before its handler comes. */
  find(name: string): GrantSpec;
  /** False: no built-in power and no installed handler goes by that name. */
  isKnown(name: string): boolean;
}

/** The built-in permissions by id (page "Trust", sections 6 and 8). */
export const GRANT_SPECS: ReadonlyMap<string, GrantSpec> = new Map();

/** Built-in permissions, and those of installed handlers as `isHandler` tells. */
export function createGrantSpecs(
  _options: { readonly isHandler?: (permission: string) => boolean; readonly requestsPerMinute?: number } = {},
): GrantSpecs {
  throw new Error("to be filled in");
}

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { PackId } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { ensureFolder } from "@rumi/safe-files";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";
import { GrantRecord } from "./grant.ts";

/** The two files a principal may have, named as their folders. */
export const GRANT_FOLDERS = ["capabilities", "network"] as const;
export type GrantFolder = (typeof GRANT_FOLDERS)[number];

/** Kind of a signed file: a file put into the other folder is not believed there. */
const KIND = { capabilities: "grants", network: "network" } as const;

const GrantFile = v.strictObject({ principal_id: PackId, grants: v.array(GrantRecord) });

/** What is on disk about one principal. */
export type StoredGrants =
  | { readonly state: "absent" }
  | { readonly state: "ok"; readonly grants: readonly GrantRecord[] }
  | { readonly state: "tampered"; readonly reason: string };

/** Where the file of a permission's grants lies. */
export function folderOf(permission: string): GrantFolder {
  return permission === "network.egress" ? "network" : "capabilities";
}

/** True for a name that can hold rights: the form of a pack id, no level empty or with `_` at its ends. */
export function isPrincipal(name: string): name is PackId {
  return v.is(PackId, name) && name.split("__").every((level) => level !== "" && !level.startsWith("_") && !level.endsWith("_"));
}

/** Grants on disk: signed, one file per principal and folder. */
export class GrantFiles {
  readonly #signed: SignedFiles;
  readonly #userData: string;

  constructor(deps: { readonly signed: SignedFiles; readonly userData: string }) {
    this.#signed = deps.signed;
    this.#userData = deps.userData;
  }

  /** Principals that have a file, intact or not, or had one that is gone. */
  async principals(folder: GrantFolder): Promise<PackId[]> {
    const names = await readdir(join(this.#userData, "permissions", folder)).catch((cause: unknown) => {
      if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
      throw cause;
    });
    const files = names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length));
    return [...new Set([...files, ...this.#signed.names(KIND[folder])])].filter(isPrincipal).sort();
  }

  async read(folder: GrantFolder, principal: PackId): Promise<StoredGrants> {
    const read = await this.#signed.read(KIND[folder], principal, this.#path(folder, principal));
    if (read.state !== "ok") return read;
    const parsed = v.safeParse(GrantFile, read.value);
    const fits = parsed.success && parsed.output.principal_id === principal;
    if (!fits || parsed.output.grants.some((grant) => folderOf(grant.permission_id) !== folder)) {
      return { state: "tampered", reason: "the file is not in its form" };
    }
    return { state: "ok", grants: parsed.output.grants };
  }

  /** `beforeWrite` is the audit entry: if it throws, nothing is written. No grants: the file goes for good. */
  async write(folder: GrantFolder, principal: PackId, grants: readonly GrantRecord[], beforeWrite: () => Promise<void>): Promise<void> {
    const path = this.#path(folder, principal);
    if (grants.length === 0) return this.#signed.remove(KIND[folder], principal, path, beforeWrite);
    await ensureFolder(join(this.#userData, "permissions", folder));
    const file = { principal_id: principal, grants: grants.map((grant) => ({ ...grant })) } as unknown as JsonObject;
    await this.#signed.write(KIND[folder], principal, path, file, beforeWrite);
  }

  #path(folder: GrantFolder, principal: PackId): string {
    return join(this.#userData, "permissions", folder, `${principal}.json`);
  }
}

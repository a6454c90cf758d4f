import type { AuditSink } from "@rumi/core";
import { StoreError } from "./errors.ts";
import type { KvStore } from "./ports.ts";

/** What an operator asks to be imported. */
export interface ImportAsk {
  readonly store_id: string;
  /** A real folder of this host. */
  readonly folder: string;
  readonly overwrite?: boolean | undefined;
  readonly actor: string;
}

/** What came of an import. `path` is below the folder. */
export interface ImportAnswer {
  readonly imported: number;
  readonly skipped: number;
  readonly errors: readonly { readonly path: string; readonly code: string; readonly error: string }[];
}

/**
 * Puts every `*.json` below a folder into a store, in one transaction, under its path without the suffix.
 * @throws StoreError, SafeFilesError when the folder itself cannot be read: nothing was written
 */
export function importStore(deps: { readonly kv: KvStore; readonly audit: AuditSink }, ask: ImportAsk): Promise<ImportAnswer> {
  void [deps, ask];
  return Promise.reject(new StoreError("store.unavailable", "not ready"));
}

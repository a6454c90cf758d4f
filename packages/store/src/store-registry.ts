import type { AuditSink, Clock, Decision, DiagnosticsSink, PackId, StoreId } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import { StoreError, type StoreErrorCode } from "./errors.ts";
import type { KvStore, StoreRecord } from "./ports.ts";
import type { Share, ShareMode } from "./shares.ts";

/** Collaborators of `StoreRegistry`. */
export interface StoreRegistryDeps {
  readonly kv: KvStore;
  /** For `stores/sharing.json`, kind `sharing`. */
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** A store as a manifest names it. */
export interface DeclaredStore {
  readonly store_id: string;
  readonly max_bytes?: number | undefined;
  readonly max_keys?: number | undefined;
}

/** What came of a pack's declared stores. */
export interface DeclareAnswer {
  readonly created: readonly StoreId[];
  /** There already, this pack's own. */
  readonly kept: readonly StoreId[];
  readonly refused: readonly { readonly store_id: string; readonly code: StoreErrorCode; readonly reason: string }[];
}

/** What an operator asks for a share. */
export interface ShareAsk {
  readonly provider_pack_id: string;
  readonly consumer_pack_id: string;
  readonly store_id: string;
  readonly actor: string;
}

/** Which stores there are, whose they are, and who else may use them. Rights are answered from memory. */
export class StoreRegistry {
  constructor(deps: StoreRegistryDeps) {
    void deps;
  }

  /** Reads stores and shares. Fails soft: what cannot be read is reported, and held by nobody. */
  load(): Promise<void> {
    return todo();
  }

  /** Makes an operator's store. @throws StoreError `invalid_id` `invalid_root` `exists` */
  create(ask: {
    readonly store_id: string;
    readonly root_path?: string | undefined;
    readonly max_bytes?: number | undefined;
    readonly max_keys?: number | undefined;
    readonly actor: string;
  }): Promise<{ readonly store_id: StoreId }> {
    void ask;
    return todo();
  }

  /** Makes the stores a pack's approved manifest names, as `<pack>__<id>`. Never throws for what the manifest says. */
  declare(packId: PackId, stores: readonly DeclaredStore[], actor?: string): Promise<DeclareAnswer> {
    void [packId, stores, actor];
    return todo();
  }

  /** Removes a store, its contents and its shares. @throws StoreError `not_found`; `conflict` when it holds keys and not `force` */
  delete(storeId: string, options: { readonly force?: boolean | undefined }, actor: string): Promise<{ readonly store_id: StoreId }> {
    void [storeId, options, actor];
    return todo();
  }

  /** Every store with what it holds. @throws StoreError `unavailable` */
  list(): Promise<readonly StoreRecord[]> {
    return todo();
  }

  /** The pack that owns a store; null: the operator's; undefined: there is no such store. */
  owner(storeId: string): PackId | null | undefined {
    void storeId;
    return undefined;
  }

  /** Lets one pack use a store of another. The newest mode counts. @throws StoreError `not_found` `owner_mismatch` `conflict` */
  share(ask: ShareAsk & { readonly mode?: ShareMode | undefined }): Promise<Share> {
    void ask;
    return todo();
  }

  /** Takes a share back. @throws StoreError `not_found` */
  unshare(ask: ShareAsk): Promise<Share> {
    void ask;
    return todo();
  }

  /** Shares that hold now. */
  shares(): readonly Share[] {
    return [];
  }

  /** Whether `principal` may touch the store as far as its owner goes; the grant is judged elsewhere. */
  access(principal: PackId, storeId: string, want: "read" | "write"): Decision<{ readonly owner: PackId | null }, StoreErrorCode> {
    void [principal, want];
    return { allowed: false, code: "store.not_found", reason: `there is no store ${storeId}` };
  }
}

function todo(): Promise<never> {
  return Promise.reject(new StoreError("store.unavailable", "not ready"));
}

import type { StoreId } from "@rumi/core";
import type { StoreErrorCode } from "./errors.ts";

/** What an operator asks for a store of their own. */
export interface CreateAsk {
  readonly store_id: string;
  /** `user_data/stores/<one name>`. */
  readonly root_path?: string | undefined;
  readonly max_bytes?: number | undefined;
  readonly max_keys?: number | undefined;
  readonly actor: string;
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
  /** There already, this pack's own; with the quota the manifest says now. */
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

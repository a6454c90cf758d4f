import type { StoresPort } from "@rumi/api";
import { SYSTEM_PRINCIPAL } from "@rumi/core";
import type { AuditSink, PackId } from "@rumi/core";
import { checkStoreKey, checkStorePrefix, importStore, StoreError } from "@rumi/store";
import type { KvStore, StoreCursors, StoreRegistry } from "@rumi/store";

/** Whose the cursors of an operator's lists are: no pack has this id. */
const OPERATOR = SYSTEM_PRINCIPAL as PackId;

export interface StoreParts {
  readonly stores: StoreRegistry;
  readonly kv: KvStore;
  readonly cursors: StoreCursors;
  readonly audit: AuditSink;
}

/** Stores as an operator sees them: every one, whoever owns it. */
export function bindStores({ audit, cursors, kv, stores }: StoreParts): StoresPort {
  return {
    async list() {
      return (await stores.list()).map(({ store_id, owner, keys, bytes, max_keys, max_bytes, root_path, created_at }) => ({
        store_id,
        owner,
        keys,
        bytes,
        max_keys,
        max_bytes,
        root_path,
        created_at,
      }));
    },
    async keys(storeId, { prefix, limit, cursor }) {
      const rule = checkStorePrefix(prefix);
      if (rule !== null) throw new StoreError("store.invalid_key", rule);
      const after = cursor === undefined ? null : cursors.decode(OPERATOR, storeId, prefix, cursor);
      if (cursor !== undefined && after === null) throw new StoreError("store.invalid_cursor", "the cursor does not belong to this list");
      const { keys, has_more: more, total_estimate } = await kv.list(storeId, { prefix, after, limit });
      const last = keys.at(-1);
      return { keys, next_cursor: more && last !== undefined ? cursors.encode(OPERATOR, storeId, prefix, last) : null, total_estimate };
    },
    async value(storeId, key) {
      const rule = checkStoreKey(key);
      if (rule !== null) throw new StoreError("store.invalid_key", rule);
      return await kv.get(storeId, key);
    },
    create: (ask, actor) => stores.create({ ...ask, actor }),
    delete: (storeId, options, actor) => stores.delete(storeId, options, actor),
    import: (storeId, { path, overwrite }, actor) => importStore({ kv, audit }, { store_id: storeId, folder: path, overwrite, actor }),
    shares: () => stores.shares(),
    share: (ask, actor) => stores.share({ ...ask, actor }),
    unshare: (ask, actor) => stores.unshare({ ...ask, actor }),
  };
}

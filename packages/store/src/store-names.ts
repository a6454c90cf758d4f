import { StoreId } from "@rumi/core";
import type { PackId } from "@rumi/core";
import * as v from "valibot";
import { StoreError } from "./errors.ts";

/** Most stores one pack may declare. Source: page "Trust", section 4. */
export const MAX_DECLARED_STORES = 10;

/** What stands between the pack and its own word in the id of a declared store. */
const SEPARATOR = "__";
/** Where a `root_path` lies. */
const ROOT = "user_data/stores/";

/** @throws StoreError `store.invalid_id` */
export function parseStoreId(text: string): StoreId {
  const parsed = v.safeParse(StoreId, text);
  if (parsed.success) return parsed.output;
  throw new StoreError("store.invalid_id", "a store id has 1 to 128 letters, digits, _ and -", {
    details: { store_id: text.slice(0, 200) },
  });
}

/**
 * The id of a store that a pack declares: `<pack>__<id>`, also where the manifest says the prefix itself. No second `__`, so
 * that no pack can name the store of a child, or of another.
 * @throws StoreError `store.invalid_id`
 */
export function declaredStoreId(packId: PackId, declared: string): StoreId {
  const prefix = `${packId}${SEPARATOR}`;
  const own = declared.startsWith(prefix) ? declared.slice(prefix.length) : declared;
  if (own.includes(SEPARATOR)) {
    throw new StoreError("store.invalid_id", `a declared store id holds no ${SEPARATOR} but behind the pack's own id`, {
      details: { store_id: declared },
    });
  }
  parseStoreId(own);
  return parseStoreId(prefix + own);
}

/** @throws StoreError `store.invalid_root` for anything but `user_data/stores/<one name>` */
export function checkRootPath(root: string): void {
  if (root.startsWith(ROOT) && v.is(StoreId, root.slice(ROOT.length))) return;
  throw new StoreError("store.invalid_root", `root_path is ${ROOT} and one name of letters, digits, _ and -`);
}

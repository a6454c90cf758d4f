import { ApiError } from "./errors.ts";
import { DEFAULT_LIST_LIMIT } from "./schemas/common.ts";

/** Which page of a list is asked for. */
export interface PageQuery {
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** One page of `items`: those after the one the cursor names. @throws ApiError `request.invalid` for a cursor of another list */
export function cutPage<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  query: PageQuery,
): { readonly items: readonly Item[]; readonly next_cursor: string | null } {
  const limit = query.limit ?? DEFAULT_LIST_LIMIT;
  let start = 0;
  if (query.cursor !== undefined) {
    const last = keyOfCursor(query.cursor);
    start = items.findIndex((item) => keyOf(item) === last) + 1;
    if (start === 0) throw new ApiError("request.invalid", "the cursor does not belong to this list, or its item is gone");
  }
  const cut = items.slice(start, start + limit);
  const last = cut.at(-1);
  const more = last !== undefined && start + limit < items.length;
  return { items: cut, next_cursor: more ? cursorAfter(keyOf(last)) : null };
}

/** The key that a cursor of `cutPage` or `cursorAfter` names; undefined without one. */
export function keyOfCursor(cursor: string | undefined): string | undefined {
  return cursor === undefined ? undefined : Buffer.from(cursor, "base64url").toString("utf8");
}

/** A cursor that goes on after `key`. */
export function cursorAfter(key: string): string {
  return Buffer.from(key).toString("base64url");
}

import type { JsonObject, JsonValue } from "@rumi/core";
import * as v from "valibot";

/** Any JSON value. Typed by hand: JSON has no finite schema. */
export const Json = v.unknown() as v.GenericSchema<JsonValue>;

const AnyRecord = v.record(v.string(), v.unknown());

/** Any JSON object, at any depth. A list is none, which valibot's own record would take for one. */
export const JsonMap = {
  ...AnyRecord,
  "~run"(dataset, config) {
    if (!Array.isArray(dataset.value)) return AnyRecord["~run"](dataset, config);
    v._addIssue(this, "type", dataset, config);
    return { typed: false, value: dataset.value, issues: dataset.issues };
  },
} as typeof AnyRecord as unknown as v.GenericSchema<JsonObject>;

/** A list that nobody changes. */
export function list<const S extends v.GenericSchema>(item: S) {
  return v.pipe(v.array(item), v.readonly());
}

/** UTC ISO time with milliseconds and `Z`. */
export const Time = v.pipe(v.string(), v.isoTimestamp());

/** `sha256:<hex>` in an answer. */
export const DigestText = v.string();

/** Most items of one page. Source: page 40, section 1. */
export const MAX_LIST_LIMIT = 1000;
/** Items of one page when none are asked for. Source: page 40, section 1. */
export const DEFAULT_LIST_LIMIT = 100;

/** Digits of a query parameter as a whole number in a range. */
export function queryInteger(min: number, max: number) {
  return v.pipe(
    v.string(),
    v.regex(/^\d{1,12}$/u),
    v.transform(Number),
    v.number(),
    v.minValue(min),
    v.maxValue(max),
  );
}

/** `true` or `false` in a query. */
export const QueryBoolean = v.pipe(
  v.picklist(["true", "false"]),
  v.transform((text) => text === "true"),
  v.boolean(),
);

/** `limit` and `cursor` of every list. */
export const PageEntries = {
  limit: v.optional(queryInteger(1, MAX_LIST_LIMIT)),
  cursor: v.optional(v.pipe(v.string(), v.maxLength(1024))),
} as const;

/** One page of a list: `{<key>: [...], count, next_cursor}`; `count` is the number of items in this page. */
export function page<const Key extends string, const S extends v.GenericSchema>(key: Key, item: S) {
  return v.object({ [key]: list(item), count: v.number(), next_cursor: v.nullable(v.string()) }) as unknown as v.GenericSchema<
    { readonly [K in Key]: readonly v.InferOutput<S>[] } & { readonly count: number; readonly next_cursor: string | null }
  >;
}

/** An operator's free text, kept in records and audit. */
export const Note = v.pipe(v.string(), v.maxLength(2000));

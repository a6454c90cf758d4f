import type { JsonObject } from "@rumi/core";

/** When a flow starts by itself, checked. Times are instants; `timezone` is an IANA name. */
export type ScheduleSpec = { readonly timezone: string; readonly inputs: JsonObject } & (
  | { readonly kind: "cron"; readonly cron: string }
  /** At least 10 seconds. */
  | { readonly kind: "interval"; readonly interval_seconds: number }
);

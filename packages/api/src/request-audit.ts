import type { ApiDeps } from "./deps.ts";
import type { Failure } from "./failure.ts";
import { addressOf } from "./request-context.ts";
import type { ApiContext } from "./request-context.ts";
import type { Caller } from "./token-registry.ts";

/** Path of a request as the audit may keep it: bounded, no query. */
function auditedPath(c: ApiContext): string {
  return c.req.path.slice(0, 200);
}

/** Writes down what a handler threw; the answer holds none of it. */
export async function recordInternal(
  deps: ApiDeps,
  c: ApiContext,
  error: unknown,
  hush: (text: string) => string = (text) => text,
): Promise<void> {
  const detail = hush(error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : String(error));
  const entry = {
    category: "system",
    severity: "error",
    action: "api_internal_error",
    success: false,
    error: error instanceof Error ? hush(error.message).slice(0, 2000) : "unknown error",
    details: { request_id: c.get("requestId"), method: c.req.method, path: auditedPath(c), detail: detail.slice(0, 2000) },
  } as const;
  deps.logger.log("error", "a handler failed", { request_id: c.get("requestId") });
  await deps.auditSink.record(entry).catch(() => undefined);
}

/** A denial stands even when it cannot be written down. */
export async function recordDenied(deps: ApiDeps, c: ApiContext, failure: Failure): Promise<void> {
  const caller = c.get("caller") as Caller | undefined;
  await deps.auditSink
    .record({
      category: "security",
      severity: "warning",
      action: "api_denied",
      success: false,
      rejection_reason: failure.code,
      details: {
        request_id: c.get("requestId"),
        status: failure.status,
        code: failure.code,
        method: c.req.method,
        path: auditedPath(c),
        address: addressOf(c),
        ...(caller === undefined ? {} : { actor: caller.actor }),
      },
    })
    .catch(() => {
      deps.logger.log("error", "a denial could not be audited", { request_id: c.get("requestId") });
    });
}

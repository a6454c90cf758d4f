import { RumiError } from "@rumi/core";

/** Codes of this package: what is wrong with a request, before any part is asked. */
export type ApiErrorCode =
  | "request.invalid_json"
  | "request.invalid"
  | "request.invalid_id"
  | "request.bad_length"
  | "request.too_large"
  | "request.media_type"
  | "request.idempotency_mismatch"
  | "auth.required"
  | "auth.scope"
  | "http.origin_rejected"
  | "http.host_rejected"
  | "http.not_found"
  | "http.method"
  | "http.timeout"
  | "rate.limited"
  | "stream.capacity"
  | "modifier.not_found"
  | "token.not_found"
  | "token.last_admin"
  | "daemon.starting"
  | "daemon.stopping"
  | "state.corrupt"
  | "storage.full";

/** What was wrong with one field of a request. */
export interface RequestIssue {
  readonly code: string;
  /** JSON pointer into the body, query or path. */
  readonly path: string;
  readonly message: string;
}

/** A request that is refused. */
export class ApiError extends RumiError<ApiErrorCode> {}

/** A stable error code: `<package>.<what>`, e.g. `approval.digest_moved`. Codes are API: they never change meaning. */
export type ErrorCode = `${string}.${string}`;

/** What a `RumiError` carries beside its code. Values here may reach an operator: no secret, key or host path. */
export interface RumiErrorOptions {
  readonly cause?: unknown;
  /** Typed facts for the operator (ids, limits, digests). */
  readonly details?: Readonly<Record<string, unknown>>;
  /** The one `rumi` command that would allow or mend it. */
  readonly remedy?: string;
}

/** A broken promise. Each package subclasses it with its own closed union of codes. */
export class RumiError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code;
  readonly details: Readonly<Record<string, unknown>>;
  readonly remedy: string | undefined;

  constructor(code: Code, message: string, options: RumiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.details = options.details ?? {};
    this.remedy = options.remedy;
  }
}

/** Codes of this package. */
export type CoreErrorCode = "core.invalid_json_value" | "core.invalid_id";

/** A value or id that core's own functions refuse. */
export class CoreError extends RumiError<CoreErrorCode> {}

/** A "no" as a value: audited like a "yes", told to the operator with its remedy. The pack sees only generic text. */
export interface Refusal<Code extends ErrorCode = ErrorCode> {
  readonly allowed: false;
  readonly code: Code;
  /** The real reason, for operator and audit only. */
  readonly reason: string;
  readonly remedy?: string;
}

/** A decision: a "yes" with its facts `T`, or a `Refusal`. */
export type Decision<T extends object, Code extends ErrorCode = ErrorCode> = ({ readonly allowed: true } & Readonly<T>) | Refusal<Code>;

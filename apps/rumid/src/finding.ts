/** One finding: what was looked at, how it is, and the one command that mends it. */
export interface Finding {
  readonly id: string;
  readonly status: "ok" | "warn" | "fail";
  readonly message: string;
  readonly remedy: string | null;
  /** True when `rumi recover` may do it by itself. */
  readonly auto: boolean;
}

/** A finding that is well. */
export function ok(id: string, message: string): Finding {
  return { id, status: "ok", message, remedy: null, auto: false };
}

/** A finding to know of. */
export function warn(id: string, message: string, remedy: string | null = null, auto = false): Finding {
  return { id, status: "warn", message, remedy, auto };
}

/** A finding that keeps the daemon from its work. */
export function fail(id: string, message: string, remedy: string | null, auto = false): Finding {
  return { id, status: "fail", message, remedy, auto };
}

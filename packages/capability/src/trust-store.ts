import type { AuditSink, Clock, Decision, DiagnosticsSink } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import type { CapabilityErrorCode } from "./errors.ts";

/** Code of a handler that an operator trusts. */
export interface TrustEntry {
  /** Tree digest of the slug, hex. */
  readonly sha256: string;
  readonly pack_id: string;
  readonly slug: string;
  readonly permission_id: string;
  readonly artifacts: readonly { readonly os: string; readonly arch: string; readonly sha256: string }[];
  readonly note: string;
  readonly by: string;
  readonly at: string;
}

/** The code that is about to run. */
export interface TrustAsk {
  readonly handler_id: string;
  readonly pack_id: string;
  readonly slug: string;
  readonly permission_id: string;
  /** Of the slug in the pack's current snapshot, hex. */
  readonly sha256: string;
  /** For a binary: the one that would run. */
  readonly artifact?: { readonly os: string; readonly arch: string; readonly sha256: string };
}

export interface TrustStoreDeps {
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** Which code of which handlers is trusted, by digest. A tampered file: none. */
export class TrustStore {
  readonly #deps: TrustStoreDeps;
  constructor(deps: TrustStoreDeps) {
    this.#deps = deps;
  }
  load(): Promise<void> {
    throw new Error(`to be filled in ${typeof this.#deps}`);
  }
  trusted(_handlerId: string): readonly TrustEntry[] {
    throw new Error("to be filled in");
  }
  decide(_ask: TrustAsk): Decision<{ readonly entry: TrustEntry }, CapabilityErrorCode> {
    throw new Error("to be filled in");
  }
  add(_handlerId: string, _entry: Omit<TrustEntry, "by" | "at">, _actor: string): Promise<void> {
    throw new Error("to be filled in");
  }
  /** Left out `sha256`: every digest of the handler. */
  remove(_handlerId: string, _sha256: string | undefined, _actor: string): Promise<{ removed: number }> {
    throw new Error("to be filled in");
  }
}

import type { Digest, PackId } from "@rumi/core";

/** A request that asks for a yes: the destination as the URL names it, canonical. */
export interface EgressAsk {
  readonly principal: PackId;
  readonly digest: Digest;
  /** A-label in lower case without trailing dot, or an IP address in its canonical form without brackets. */
  readonly host: string;
  readonly port: number;
  /** Null for a tunnel, whose methods nobody sees. */
  readonly method: string | null;
}

/** The answer of rule 6, and the limits that come with a yes. */
export type EgressVerdict =
  | { readonly allowed: true; readonly reason: "Access granted"; readonly limits: EgressLimits }
  /** `reason` in the words of page "Trust", section 6; `code` for audit and operator. */
  | {
      readonly allowed: false;
      readonly reason: string;
      readonly code: string;
      readonly limits: EgressLimits | null;
      /** A running report changes nothing about this no: it is the pack gate's or the manifest's own, not a missing grant. */
      readonly final?: boolean;
      /** The one command that would allow it. */
      readonly remedy?: string;
    };

/** The folded network grant as far as the proxy needs it. */
export interface EgressLimits {
  /** `host:port` pairs that may be private. */
  readonly allow_private: readonly string[];
  /** Null: any. */
  readonly allowed_methods: readonly string[] | null;
  readonly requests_per_minute: number;
}

/** May this pack reach that host? Pack gate, grants of every level, the manifest's own limits. Memory only. */
export interface EgressPolicy {
  /** One request: a yes may take a use of the grant. */
  decide(ask: EgressAsk): EgressVerdict;
  /** The same without taking a use, for a pack that asks before it asks. Absent: `decide` takes none. */
  check?(ask: EgressAsk): { readonly allowed: boolean; readonly reason: string };
  /** The folded limits alone, for rule 5, which stands before rule 6; null without a grant. */
  limits(principal: PackId): EgressLimits | null;
}

/** The parts of a request that may carry `{{secret:KEY}}`. */
export interface RequestParts {
  /** Path and query with the leading `/`, as written. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array | null;
}

/** Takes values out of what comes back, across chunks. */
export interface ResponseScrubber {
  /** What is safe to pass on now. */
  push(chunk: Uint8Array): Uint8Array;
  /** The rest. */
  end(): Uint8Array;
  /** A whole text (a header's value). */
  text(value: string): string;
}

/** Secrets that the proxy puts into requests, so that the pack never holds them. */
export interface SecretBroker {
  /** Keys of the placeholders in these parts; empty when there are none. Cheap: asked for every request. */
  keys(parts: RequestParts): readonly string[];
  /** Rule 7. `secure`: https, or a pair of `allow_private`. No DNS has happened yet. */
  fill(
    ask: { readonly principal: PackId; readonly host: string; readonly port: number; readonly secure: boolean },
    parts: RequestParts,
  ): Promise<
    | { readonly allowed: true; readonly parts: RequestParts; readonly keys: readonly string[] }
    /** `error` is the pack's text, `reason` the real one. */
    | { readonly allowed: false; readonly error: string; readonly reason: string }
  >;
  /** Secrets of these keys are about to go to that address: `scrubber` is asked for it too, should it be a later request's host. */
  sent?(principal: PackId, address: string, keys: readonly string[]): void;
  /** For every answer of `host` to `principal`, brokered or not: values bound to that host may come back later. Null: none is bound. */
  scrubber(principal: PackId, host: string): ResponseScrubber | null;
}

/** Addresses of a name, IPv4 and IPv6 in text form, as the machine's resolver gives them. */
export interface Resolver {
  resolve(host: string, signal: AbortSignal): Promise<readonly string[]>;
}

import type { SecretKey } from "@rumi/core";

/** Where the key that encrypts secrets comes from. `file` and `credential` must exist; `settings` is made at the first set. */
export type SecretKeySource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "credential"; readonly path: string }
  | { readonly kind: "settings"; readonly path: string };

/** One secret as an operator sees it: never its value. */
export interface SecretView {
  readonly key: SecretKey;
  readonly exists: boolean;
  readonly deleted: boolean;
  readonly masked: "********";
  readonly created_at: string | null;
  readonly updated_at: string | null;
  readonly deleted_at: string | null;
  /** Exact while the daemon runs; after a restart it may be up to an hour early. */
  readonly last_used_at: string | null;
  /** Set when the file is there but cannot be believed or decrypted. */
  readonly unreadable?: true;
}

/** A secret and its value, inside the daemon only. */
export interface SecretValue {
  readonly key: SecretKey;
  readonly value: string;
}

/** The parts of a request that may carry `{{secret:KEY}}`. */
export interface SecretParts {
  /** Path and query with the leading `/`, as written. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array | null;
}

/** Where in a request a placeholder stands. */
export type SecretSlot = "header" | "query" | "body";

/** One placeholder of a request. */
export interface SecretPlaceholder {
  readonly key: SecretKey;
  readonly slot: SecretSlot;
  /** Of `{{secret:KEY|basic:user}}`; null for the plain form. */
  readonly basicUser: string | null;
}

/** Why a request with placeholders is refused, for operator and audit; holds no value. */
export interface PlaceholderRefusal {
  readonly ok: false;
  readonly reason: string;
}

/** Takes values out of one stream, across chunks. */
export interface SecretScrubber {
  /** What is safe to pass on now. */
  push(chunk: Uint8Array): Uint8Array;
  /** The rest; the scrubber is not used after it. */
  end(): Uint8Array;
  /** A whole text of its own (a header's value). */
  text(value: string): string;
  /** Pieces of values that came back without the rest of them, so far. */
  readonly partialHits: ReadonlyMap<SecretKey, number>;
}

/** A value sealed for a journal: JSON that holds nothing readable. */
export type SealedValue = {
  readonly $sealed: { readonly v: 1; readonly kid: string; readonly nonce: string; readonly ciphertext: string; readonly tag: string };
};

import type { JsonValue, Random } from "@rumi/core";
import * as v from "valibot";
import type { SealedValue } from "./ports.ts";
import { SealedBox, type SecretKeys } from "./secret-keys.ts";

const Sealed = v.strictObject({ $sealed: v.strictObject({ v: v.literal(1), ...SealedBox.entries }) });

/** Seals a value for a journal; only the same `context` opens it. */
export function sealValue(keys: SecretKeys, random: Random, value: JsonValue, context: string): SealedValue {
  const box = keys.seal("journal", JSON.stringify(value), random, (head) => boundTo(head, context));
  return { $sealed: { v: 1, ...box } };
}

/** The value; `undefined` for anything that these keys did not seal for `context`. */
export function unsealValue(keys: SecretKeys, sealed: JsonValue, context: string): JsonValue | undefined {
  const parsed = v.safeParse(Sealed, sealed);
  if (!parsed.success) return undefined;
  const { v: _format, ...box } = parsed.output.$sealed;
  const text = keys.open("journal", box, boundTo(box, context));
  return text === null ? undefined : (JSON.parse(text) as JsonValue);
}

function boundTo({ kid, nonce }: { readonly kid: string; readonly nonce: string }, context: string): string {
  return JSON.stringify(["rumi-sealed-v1", kid, nonce, context]);
}

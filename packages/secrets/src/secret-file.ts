import { canonicalJson, SecretKey, type JsonObject, type JsonValue, type Random } from "@rumi/core";
import type { Unsealed } from "@rumi/safe-files";
import * as v from "valibot";
import { SealedBox, type SecretKeys } from "./secret-keys.ts";

const FORMAT = 1;
const Time = v.pipe(v.string(), v.isoTimestamp());

/** `secrets/<KEY>.json` (page "Trust", section 9). */
const SecretFile = v.strictObject({
  v: v.literal(FORMAT),
  key: SecretKey,
  rev: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  ...SealedBox.entries,
  created_at: Time,
  updated_at: Time,
  deleted_at: v.nullable(Time),
});

/** What a file says once it is decrypted. */
export interface SecretRecord {
  /** Null for a tombstone. */
  readonly value: string | null;
  readonly kid: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly deleted_at: string | null;
}

/** A file as it was found, whoever wrote it. */
export type FoundFile =
  | { readonly kind: "sealed"; readonly kid: string; readonly deleted: boolean }
  /** Of an older installation, in the clear. */
  | { readonly kind: "legacy"; readonly value: string | null }
  | { readonly kind: "foreign" };

/** The file of a secret. A tombstone is the encrypted empty text: no value is empty. */
export function sealSecret(keys: SecretKeys, random: Random, key: SecretKey, rev: number, record: Omit<SecretRecord, "kid">): JsonObject {
  const { created_at, updated_at, deleted_at } = record;
  const rest = { v: FORMAT, key, rev, created_at, updated_at, deleted_at };
  const box = keys.seal("file", record.value ?? "", random, (head) => canonicalJson({ ...rest, ...head }));
  return { v: FORMAT, key, rev, ...box, created_at, updated_at, deleted_at };
}

/** Decrypts what lies where the file of `key` belongs; null when it is not that, or not ours. */
export function openSecret(keys: SecretKeys, key: SecretKey, file: JsonValue): Unsealed<SecretRecord> {
  const parsed = v.safeParse(SecretFile, file);
  if (!parsed.success || parsed.output.key !== key) return null;
  const { ciphertext, tag, ...rest } = parsed.output;
  const { kid, nonce, rev, created_at, updated_at, deleted_at } = rest;
  const text = keys.open("file", { kid, nonce, ciphertext, tag }, canonicalJson(rest));
  if (text === null || (text === "") !== (deleted_at !== null)) return null;
  return { rev, value: { value: deleted_at === null ? text : null, kid, created_at, updated_at, deleted_at } };
}

const LegacyFile = v.object({ value: v.string(), deleted_at: v.optional(v.nullable(v.string())) });

/** Tells whose file this is, without any key. */
export function judgeFile(file: JsonValue): FoundFile {
  const sealed = v.safeParse(SecretFile, file);
  if (sealed.success) return { kind: "sealed", kid: sealed.output.kid, deleted: sealed.output.deleted_at !== null };
  const legacy = v.safeParse(LegacyFile, file);
  if (!legacy.success) return { kind: "foreign" };
  const { value, deleted_at } = legacy.output;
  return { kind: "legacy", value: value === "" || (deleted_at ?? null) !== null ? null : value };
}

import * as v from "valibot";

/** Pack id = principal = folder name (whole string). Reserved words and look-alikes are judged in pack-manifest. */
export const PackId = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,64}$/u), v.brand("PackId"));
export type PackId = v.InferOutput<typeof PackId>;

/** Flow or modifier id: dotted words, at most 128 characters. */
export const FlowId = v.pipe(v.string(), v.maxLength(128), v.regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/u), v.brand("FlowId"));
export type FlowId = v.InferOutput<typeof FlowId>;

/** Step id inside a flow; never starts with `__`. */
export const StepId = v.pipe(v.string(), v.regex(/^(?!__)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/u), v.brand("StepId"));
export type StepId = v.InferOutput<typeof StepId>;

/** `sha256:` and 64 lower-case hex digits. */
export const Digest = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/u), v.brand("Digest"));
export type Digest = v.InferOutput<typeof Digest>;

/** The hex part of a digest, as used in paths. */
export function digestHex(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** A host power: dotted lower-case words, at most 128 characters. */
export const PermissionId = v.pipe(
  v.string(),
  v.maxLength(128),
  v.regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/u),
  v.brand("PermissionId"),
);
export type PermissionId = v.InferOutput<typeof PermissionId>;

/** The name of a secret. */
export const SecretKey = v.pipe(v.string(), v.regex(/^[A-Z0-9_]{1,64}$/u), v.brand("SecretKey"));
export type SecretKey = v.InferOutput<typeof SecretKey>;

/** The name of a store. */
export const StoreId = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,128}$/u), v.brand("StoreId"));
export type StoreId = v.InferOutput<typeof StoreId>;

/** A run id: `run_` and a UUIDv7. */
export const RunId = v.pipe(
  v.string(),
  v.regex(
    /^run_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u,
    "a run's id is run_ and a UUID of version 7, as a list of runs shows it",
  ),
  v.brand("RunId"),
);
export type RunId = v.InferOutput<typeof RunId>;

/** The principal of official and shared flows' own steps. Holds no right by itself. */
export const SYSTEM_PRINCIPAL = "system";

/** Ids of a principal's levels, root first: `a__b__c` gives `["a", "a__b", "a__b__c"]`. */
export function principalChain(id: PackId): PackId[] {
  const levels = id.split("__");
  return levels.map((_, index) => levels.slice(0, index + 1).join("__") as PackId);
}

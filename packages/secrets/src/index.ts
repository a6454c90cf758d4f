export { SecretStore } from "./secret-store.ts";
export type { SecretStoreDeps } from "./secret-vault.ts";
export { findSecretKeySource } from "./secret-key-file.ts";

export { LiveSecrets } from "./live-secrets.ts";
export { REDACTED } from "./redacted.ts";
export { createScrubber } from "./scrubber.ts";
export type { ScrubberOptions } from "./scrubber.ts";
export { BindingWatch } from "./binding-watch.ts";

export { fillPlaceholders, findPlaceholders, MAX_PLACEHOLDERS } from "./placeholders.ts";

export type {
  PlaceholderRefusal,
  SealedValue,
  SecretKeySource,
  SecretParts,
  SecretPlaceholder,
  SecretScrubber,
  SecretSlot,
  SecretValue,
  SecretView,
} from "./ports.ts";

export { SecretsError } from "./errors.ts";
export type { SecretsErrorCode } from "./errors.ts";

import type { SecretKeySource } from "./ports.ts";

/** Which key source a home has: the configured file, else the service manager's credential, else `settings/.secrets_key`. */
export function findSecretKeySource(_options: {
  readonly userData: string;
  /** `RUMI_SECRETS_KEY_FILE`. */
  readonly keyFile?: string;
  /** `CREDENTIALS_DIRECTORY` of the service manager. */
  readonly credentials?: string;
}): Promise<SecretKeySource> {
  throw new Error("not yet");
}

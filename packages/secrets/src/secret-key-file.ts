import { constants } from "node:fs";
import { access, link, open, realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureFolder, syncParent, writeFileAtomic } from "@rumi/safe-files";
import type { SecretKeySource } from "./ports.ts";
import { SecretKeys } from "./secret-keys.ts";

/** Name of the service manager's credential (page "Trust", section 9). */
const CREDENTIAL = "rumi-secrets-key";
const MAX_KEY_FILE_BYTES = 64 * 1024;
/** Nobody else may read the home's own key; a file that the operator names may be a group's. */
const FORBIDDEN_MODE = { settings: 0o077, file: 0o007, credential: 0 } as const;

/** Which key source a home has: the configured file, else the service manager's credential, else `settings/.secrets_key`. */
export async function findSecretKeySource(options: {
  readonly userData: string;
  /** `RUMI_SECRETS_KEY_FILE`. */
  readonly keyFile?: string;
  /** `CREDENTIALS_DIRECTORY` of the service manager. */
  readonly credentials?: string;
}): Promise<SecretKeySource> {
  if (options.keyFile !== undefined) return { kind: "file", path: options.keyFile };
  if (options.credentials !== undefined) {
    const path = join(options.credentials, CREDENTIAL);
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return { kind: "credential", path };
  }
  return { kind: "settings", path: join(options.userData, "settings", ".secrets_key") };
}

/** What the source holds. `reason` names no path. */
export type LoadedKeys =
  | { readonly state: "ok"; readonly keys: SecretKeys }
  | { readonly state: "absent" }
  | { readonly state: "unusable"; readonly reason: string };

/** Reads the keys; never throws. */
export async function loadSecretKeys(source: SecretKeySource): Promise<LoadedKeys> {
  try {
    // Mounted secrets are often links; the home's own key never is.
    const path = source.kind === "settings" ? source.path : await realpath(source.path);
    await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (!stat.isFile()) return unusable("the key file is not a regular file");
    if ((stat.mode & FORBIDDEN_MODE[source.kind]) !== 0) return unusable("the key file is open to other users (chmod 600)");
    if (stat.size > MAX_KEY_FILE_BYTES) return unusable("the key file is too large");
    const keys = SecretKeys.parse(await handle.readFile("utf8"));
    return keys === null ? unusable("the key file must hold one key a line: 32 bytes in base64") : { state: "ok", keys };
  } catch (error) {
    const code = systemCode(error);
    return code === "ENOENT" ? { state: "absent" } : unusable(`the key file cannot be read (${code})`);
  }
}

/** Puts a home's first key where there is none yet. False when there is one. */
export async function createKeyFile(source: SecretKeySource, keys: SecretKeys): Promise<boolean> {
  await ensureFolder(dirname(source.path));
  const temporary = `${source.path}.new`;
  await rm(temporary, { force: true });
  await writeFileAtomic(temporary, keys.fileText());
  try {
    // A hard link of a finished file: whole, and never over another one.
    await link(temporary, source.path);
    await syncParent(source.path);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Replaces the keys. Null, or why it cannot be done. */
export async function replaceKeyFile(source: SecretKeySource, keys: SecretKeys): Promise<string | null> {
  if (source.kind === "credential") {
    return "the key is the service manager's: put a new key in the first line of its file, keep the old one in the second, and start again";
  }
  try {
    await writeFileAtomic(source.kind === "settings" ? source.path : await realpath(source.path), keys.fileText());
    return null;
  } catch (error) {
    return `the key file cannot be written (${systemCode(error)})`;
  }
}

function unusable(reason: string): LoadedKeys {
  return { state: "unusable", reason };
}

function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}

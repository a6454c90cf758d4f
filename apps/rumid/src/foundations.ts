import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuditLog, createRedactor, Diagnostics } from "@rumi/audit";
import { RumiError, systemClock, systemRandom } from "@rumi/core";
import type { Clock, Logger, Random } from "@rumi/core";
import { hasSignedFiles, Keyring, lockHome, SignedFiles } from "@rumi/safe-files";
import type { HomeLock } from "@rumi/safe-files";
import { LiveSecrets } from "@rumi/secrets";
import type { Config } from "./config.ts";
import { AUDIT_KEY_INFO } from "./audit-verb.ts";
import { homePaths, prepareHome } from "./home.ts";
import type { HomePaths } from "./home.ts";
import { createLogger } from "./logger.ts";
import { loadInstallationId } from "./state-files.ts";

/** What stands before anything else may: the home, its lock, its keys, its audit log. */
export interface Foundations extends AsyncDisposable {
  readonly config: Config;
  readonly paths: HomePaths;
  readonly lock: HomeLock;
  readonly keyring: Keyring;
  readonly signed: SignedFiles;
  readonly audit: AuditLog;
  readonly diagnostics: Diagnostics;
  readonly installation: string;
  /** Why no right of this home holds, or null. */
  readonly locked: string | null;
  readonly clock: Clock;
  readonly random: Random;
  /** Values that no sink may show; the secret store fills it. */
  readonly live: LiveSecrets;
  readonly redact: (text: string) => string;
  readonly logger: Logger;
}

/**
 * Lays out the home, takes its lock, opens keys and audit log.
 * A home whose key is gone opens *locked*: no record of it counts, and its audit log is left untouched.
 * @throws SafeFilesError `safe_files.locked_by` `safe_files.key_file_unsafe`
 */
export async function openFoundations(config: Config): Promise<Foundations> {
  const clock = systemClock;
  const random = systemRandom;
  const live = new LiveSecrets();
  const redact = createRedactor((text) => live.redact(text));
  const format = config.log.format ?? (process.stderr.isTTY ? "text" : "json");
  const logger = createLogger({ level: config.log.level, format, redact, write: (line) => process.stderr.write(line) });
  const paths = homePaths(config.home, config.signingKeyFile);
  await using stack = new AsyncDisposableStack();
  await prepareHome(paths);
  const lock = stack.use(await lockHome(paths.userData, { pid: process.pid }));
  const { keyring, locked: keyGone, auditPlace } = await openKeys(paths, stack);
  const diagnostics = new Diagnostics({ clock, redact });
  const signed = new SignedFiles({ keyring, indexPath: paths.revisions });
  const audit = stack.use(
    await AuditLog.open({
      ...auditPlace,
      key: keyring.derive(AUDIT_KEY_INFO),
      kid: keyring.kid,
      clock,
      redact,
      revisionsRev: () => signed.rev,
      logger,
    }),
  );
  const locked = keyGone ?? (await loadIndex(signed, audit.knownRevision, await hasSignedFiles(paths.userData)));
  if (locked !== null)
    diagnostics.report({ kind: "home", id: "keys", status: "failed", code: "safe_files.locked", message: locked, remedy: "rumi doctor" });
  const installation = await loadInstallationId(paths, random);
  const owned = stack.move();
  return {
    config,
    paths,
    lock,
    keyring,
    signed,
    audit,
    diagnostics,
    installation,
    locked,
    clock,
    random,
    live,
    redact,
    logger,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface OpenedKeys {
  readonly keyring: Keyring;
  readonly locked: string | null;
  readonly auditPlace: { readonly folder: string; readonly headsPath: string };
}

async function openKeys(paths: HomePaths, stack: AsyncDisposableStack): Promise<OpenedKeys> {
  try {
    const keyring = await Keyring.open(paths.signingKey, { mustExist: await hasSignedFiles(paths.userData) });
    return { keyring, locked: null, auditPlace: { folder: paths.audit, headsPath: paths.auditHeads } };
  } catch (cause) {
    if (!(cause instanceof RumiError) || cause.code !== "safe_files.locked") throw cause;
    // A key of this process only: nothing it signs outlives it, and the real audit chain gets no foreign link.
    const folder = await mkdtemp(join(tmpdir(), "rumi-locked-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const keyring = await Keyring.open(join(folder, "key"));
    return { keyring, locked: cause.message, auditPlace: { folder: join(folder, "audit"), headsPath: join(folder, "heads.jsonl") } };
  }
}

async function loadIndex(signed: SignedFiles, minRev: number, mustExist: boolean): Promise<string | null> {
  try {
    await signed.load({ minRev, mustExist });
    return null;
  } catch (cause) {
    if (cause instanceof RumiError && cause.code === "safe_files.locked") return cause.message;
    throw cause;
  }
}

import { lstat, open, readdir, readFile } from "node:fs/promises";
import { isAbsolute, join, relative } from "node:path";
import { isJsonObject } from "@rumi/core";
import { Keyring, readJsonFile } from "@rumi/safe-files";
import { findSecretKeySource } from "@rumi/secrets";
import type { SecretKeySource } from "@rumi/secrets";
import type { Config } from "./config.ts";
import { socketFindings } from "./doctor-sockets.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import type { HomePaths } from "./home.ts";

/** Folders of a home that hold rights, secrets or what they guard. */
const PRIVATE_FOLDERS = [
  "permissions/capabilities",
  "permissions/network",
  "secrets",
  "stores",
  "capabilities",
  "capabilities/trust",
] as const;
/** Files named of one kind of fault; the rest is counted. */
const MAX_NAMED = 5;
/** Largest index of signed files. Source: safe-files. */
const MAX_INDEX_BYTES = 16 * 1024 * 1024;
const SQLITE_MAGIC = "SQLite format 3\0";

/** Signed records of one file each, and where an operator sees that they are gone. */
const SINGLE_RECORDS = [
  { kind: "host_privileges", path: "permissions/host_privileges.json", what: "privileges", remedy: "npm run rumi -- privilege list" },
  { kind: "sharing", path: "stores/sharing.json", what: "shares of stores", remedy: "npm run rumi -- store list --shared" },
  {
    kind: "trusted_handlers",
    path: "capabilities/trust/trusted_handlers.json",
    what: "the trust in handlers",
    remedy: "npm run rumi -- diagnostics",
  },
] as const;

/** Keys of secrets, sockets of instances, signed rights and their counters. Reads only. */
export async function rightsChecks(config: Config, paths: HomePaths): Promise<Finding[]> {
  const sockets = await socketFindings(config);
  if (!(await isThere(paths.userData))) return sockets;
  return [
    await secretsKeyFinding(config, paths),
    await modesFinding(paths),
    ...(await recordFindings(paths)),
    ...(await databaseFindings(paths)),
    ...sockets,
  ];
}

async function secretsKeyFinding(config: Config, paths: HomePaths): Promise<Finding> {
  const { keyFile } = config.secrets;
  const source = await findSecretKeySource({
    userData: paths.userData,
    ...(keyFile === null ? {} : { keyFile }),
    ...(config.credentialsFolder === null ? {} : { credentials: config.credentialsFolder }),
  });
  const names = await readdir(join(paths.userData, "secrets")).catch(() => []);
  const secrets = names.filter((name) => name.endsWith(".json")).length;
  const { name, back } = wordsOf(source);
  const stats = await lstat(source.path).catch(() => null);
  if (stats === null) {
    if (source.kind === "settings" && secrets === 0) return ok("keys", "no secret is kept yet; the first one makes its key");
    return fail("keys", `${name} is not there, so ${secrets} secrets can be neither used nor set`, back);
  }
  if (source.kind === "settings" && !stats.isFile()) return fail("keys", `${name} is no plain file, so secrets are locked`, back);
  if (source.kind === "settings" && (stats.mode & 0o077) !== 0)
    return fail("keys", `others may read ${name}, so secrets are locked`, `chmod 600 ${name}`, true);
  if (source.kind === "file" && !stats.isSymbolicLink() && (stats.mode & 0o007) !== 0)
    return fail("keys", `everybody may read the file of ${name}, so secrets are locked`, `chmod o-rwx "$${name}"`);
  const text = await readFile(source.path, "utf8").catch(() => null);
  if (text === null) return fail("keys", `${name} cannot be read, so secrets are locked`, back);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0 || !lines.every((line) => isKey(line.trim())))
    return fail("keys", `${name} holds no key (one a line, 32 bytes in base64), so secrets are locked`, back);
  return ok("keys", `${name} is there and private, for ${secrets} secrets`);
}

function isKey(line: string): boolean {
  return /^[A-Za-z0-9+/]{43}=$/u.test(line) && Buffer.from(line, "base64").byteLength === 32;
}

/** What a key source is called, and how it comes back. */
function wordsOf(source: SecretKeySource): { readonly name: string; readonly back: string } {
  if (source.kind === "file")
    return { name: "RUMI_SECRETS_KEY_FILE", back: "put your own copy of the key where RUMI_SECRETS_KEY_FILE says" };
  if (source.kind === "credential")
    return { name: "the service's credential rumi-secrets-key", back: "mend LoadCredential of the service" };
  const name = "user_data/settings/.secrets_key";
  return { name, back: `put your own copy of ${name} back; without one, set each secret again in a new home` };
}

async function modesFinding(paths: HomePaths): Promise<Finding> {
  const opened: string[] = [];
  for (const folder of PRIVATE_FOLDERS) {
    const path = join(paths.userData, folder);
    const names = await readdir(path).catch(() => null);
    if (names === null) continue;
    for (const one of [path, ...names.map((name) => join(path, name))]) {
      const stats = await lstat(one).catch(() => null);
      if (stats !== null && (stats.isFile() || stats.isDirectory()) && (stats.mode & 0o077) !== 0 && !isReadOnlyCopy(folder, one, path))
        opened.push(shownPath(paths, one));
    }
  }
  return opened.length === 0
    ? ok("modes", "rights, secrets and stores are private")
    : fail("modes", `others may read ${few(opened)}`, `chmod go-rwx ${opened.slice(0, MAX_NAMED).join(" ")}`, true);
}

/** Installed handlers are copies that are meant to be read: `capabilities/handlers`. */
function isReadOnlyCopy(folder: string, one: string, path: string): boolean {
  return folder === "capabilities" && one !== path;
}

/** Signed rights against their signatures and against the newest revision that the index knows. */
async function recordFindings(paths: HomePaths): Promise<Finding[]> {
  const keyring = await Keyring.open(paths.signingKey, { mustExist: true }).catch(() => null);
  if (keyring === null) return [];
  const revisions = await readRevisions(paths, keyring);
  const judge = async (kind: string, name: string, path: string): Promise<boolean> => {
    const known = revisions.get(`${kind}/${name}`);
    const value = await readJsonFile(path).catch(() => null);
    if (value === null) return !(await isThere(path)) && (known === undefined || known.removed);
    const verified = keyring.verify(kind, name, value);
    return verified.ok && verified.rev >= (known?.rev ?? 0);
  };
  const tampered: string[] = [];
  let count = 0;
  for (const [folder, kind] of [
    ["capabilities", "grants"],
    ["network", "network"],
  ] as const) {
    for (const name of await recordNames(join(paths.permissions, folder), kind, revisions)) {
      count += 1;
      if (!(await judge(kind, name, join(paths.permissions, folder, `${name}.json`)))) tampered.push(name);
    }
  }
  const findings = [
    tampered.length === 0
      ? ok("state_files", `${count} records of grants, signatures good`)
      : fail(
          "state_files",
          `something else changed the grants of ${few([...new Set(tampered)])}: they give nothing`,
          `npm run rumi -- grant reset ${tampered[0] ?? ""}`,
        ),
  ];
  for (const { kind, path, what, remedy } of SINGLE_RECORDS) {
    if (!(await judge(kind, "-", join(paths.userData, path))))
      findings.push(fail("state_files", `something else changed user_data/${path}: ${what} count for nothing until given again`, remedy));
  }
  return findings;
}

type Revisions = ReadonlyMap<string, { readonly rev: number; readonly removed: boolean }>;

async function readRevisions(paths: HomePaths, keyring: Keyring): Promise<Revisions> {
  const value = await readJsonFile(paths.revisions, { maxBytes: MAX_INDEX_BYTES }).catch(() => null);
  const verified = value === null ? null : keyring.verify("revisions", "-", value);
  const files = verified?.ok === true ? verified.value["files"] : undefined;
  if (!isJsonObject(files)) return new Map();
  return new Map(
    Object.entries(files).flatMap(([key, entry]) =>
      isJsonObject(entry) && typeof entry["rev"] === "number"
        ? [[key, { rev: entry["rev"], removed: entry["removed"] === true }] as const]
        : [],
    ),
  );
}

/** Names that have a file, or should have one. */
async function recordNames(folder: string, kind: string, revisions: Revisions): Promise<string[]> {
  const files = (await readdir(folder).catch(() => []))
    .filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length));
  const known = [...revisions].flatMap(([key, { removed }]) =>
    !removed && key.startsWith(`${kind}/`) ? [key.slice(kind.length + 1)] : [],
  );
  return [...new Set([...files, ...known])].sort();
}

async function databaseFindings(paths: HomePaths): Promise<Finding[]> {
  const grants = await readdir(join(paths.permissions, "capabilities")).catch(() => []);
  const findings: Finding[] = [];
  const uses = await databaseState(join(paths.permissions, "uses.db"));
  if (uses === "absent" && grants.length > 0)
    findings.push(warn("state_files", "the counters of uses are gone: rights with a limit count as used up", "npm run rumi -- grant list"));
  if (uses === "damaged")
    findings.push(
      fail(
        "state_files",
        "user_data/permissions/uses.db is no database: rights with a limit count as used up",
        "mv user_data/permissions/uses.db user_data/permissions/uses.db.broken",
      ),
    );
  if ((await databaseState(join(paths.userData, "stores", "stores.db"))) === "damaged")
    findings.push(fail("state_files", "user_data/stores/stores.db is no database: no store can be used", "put your own copy of it back"));
  return findings;
}

/** By its first bytes alone: a look does not open a database that a daemon may hold. */
async function databaseState(path: string): Promise<"absent" | "well" | "damaged"> {
  if (!(await isThere(path))) return "absent";
  try {
    await using handle = await open(path, "r");
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(SQLITE_MAGIC.length), 0, SQLITE_MAGIC.length, 0);
    // One that was only just made is empty.
    return bytesRead === 0 || buffer.toString("latin1", 0, bytesRead) === SQLITE_MAGIC ? "well" : "damaged";
  } catch {
    return "damaged";
  }
}

function shownPath(paths: HomePaths, path: string): string {
  const below = relative(paths.home, path);
  return isAbsolute(below) || below.startsWith("..") ? path : below;
}

function few(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMED).join(", ");
  return names.length > MAX_NAMED ? `${shown} and ${names.length - MAX_NAMED} more` : shown;
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

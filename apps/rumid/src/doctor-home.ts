import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isJsonObject, RumiError } from "@rumi/core";
import { discoverPacks, readPack } from "@rumi/pack-manifest";
import { hashTree, hasSignedFiles, Keyring, readJsonFile } from "@rumi/safe-files";
import { verifyHomeAudit } from "./audit-verb.ts";
import type { Config } from "./config.ts";
import { holderOf } from "./doctor-machine.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import type { HomePaths } from "./home.ts";

/** A clock this far off makes expiries and schedules wrong. */
const CLOCK_FIRST_YEAR = 2025;
/** The fixed words about folders of the old layout. Source: page "HTTP, command line, operations", section 6. */
const LEGACY_TEXT = "Using legacy flow path. This is DEPRECATED and will be removed.";

/** Modes, keys, token, records, audit, packs: what one home holds. Reads only. */
export async function homeChecks(config: Config, paths: HomePaths): Promise<Finding[]> {
  if (!(await isThere(paths.userData))) return [warn("keys", "this home is not laid out yet", "npm run rumi -- init")];
  const keyring = await openKeyring(paths);
  const held = (await holderOf(paths)) !== null;
  return [
    await modesFinding(paths),
    keyring instanceof Keyring ? ok("keys", "the signing key is there and private") : keyring,
    await tokenFinding(paths),
    ok("clock", new Date().getUTCFullYear() >= CLOCK_FIRST_YEAR ? new Date().toISOString() : `${new Date().toISOString()} looks wrong`),
    keyring instanceof Keyring
      ? await auditFinding(paths, held)
      : warn("audit_heads", "not judged without the key", "npm run rumi -- doctor"),
    ...(keyring instanceof Keyring ? await recordFindings(paths, keyring) : []),
    await legacyFinding(paths),
    config.language === null ? ok("lang", "from the environment, else en") : ok("lang", config.language),
  ];
}

async function openKeyring(paths: HomePaths): Promise<Keyring | Finding> {
  if (!(await isThere(paths.signingKey)) && !(await hasSignedFiles(paths.userData)))
    return warn("keys", "there is no signing key yet", "npm run rumi -- init");
  try {
    return await Keyring.open(paths.signingKey, { mustExist: true });
  } catch (cause) {
    return fail(
      "keys",
      cause instanceof Error ? cause.message : "the key cannot be read",
      (cause instanceof RumiError ? cause.remedy : undefined) ?? "restore the key file from a backup",
    );
  }
}

async function modesFinding(paths: HomePaths): Promise<Finding> {
  const open: string[] = [];
  for (const path of [paths.userData, paths.permissions, paths.settings, paths.signingKey, paths.apiToken, paths.tokens]) {
    const stats = await lstat(path).catch(() => null);
    if (stats !== null && (stats.mode & 0o077) !== 0) open.push(path.slice(paths.home.length + 1));
  }
  return open.length === 0
    ? ok("modes", "user_data is private")
    : fail("modes", `others may read ${open.join(", ")}`, `chmod go-rwx ${open.join(" ")}`, true);
}

async function tokenFinding(paths: HomePaths): Promise<Finding> {
  const text = await readFile(paths.apiToken, "utf8").catch(() => null);
  if (text === null) return warn("token", "there is no settings/api_token; the first start makes one", "npm start");
  return /^rumi_[A-Za-z0-9_-]{43}$/u.test(text.trim())
    ? ok("token", "settings/api_token is there")
    : fail("token", "settings/api_token holds no token", "npm run rumi -- token create");
}

async function auditFinding(paths: HomePaths, held: boolean): Promise<Finding> {
  if (held) return ok("audit_heads", "the running daemon writes it; npm run rumi -- audit verify judges it");
  const verdict = await verifyHomeAudit(paths);
  if (verdict.entries === 0) return ok("audit_heads", "no entry yet");
  return verdict.ok
    ? ok("audit_heads", `${verdict.entries} entries, whole`)
    : fail(
        "audit_heads",
        `the audit log does not hold at entry ${verdict.first_bad?.seq ?? "?"}: ${verdict.first_bad?.kind ?? "?"}`,
        "npm run rumi -- audit verify",
      );
}

/** Approval records against their signatures and against what lies in `ecosystem/`. */
async function recordFindings(paths: HomePaths, keyring: Keyring): Promise<Finding[]> {
  const folder = join(paths.permissions, "approvals");
  const tampered: string[] = [];
  const approved = new Map<string, string>();
  const decided = new Set<string>();
  for (const name of (await readdir(folder).catch(() => [])).filter((file) => file.endsWith(".json"))) {
    const id = name.slice(0, -".json".length);
    decided.add(id);
    const verified = await readJsonFile(join(folder, name)).then(
      (value) => keyring.verify("approval", id, value),
      () => null,
    );
    if (verified?.ok !== true) tampered.push(id);
    else if (verified.value["state"] === "approved" && typeof verified.value["digest"] === "string")
      approved.set(id, verified.value["digest"]);
    else if (isJsonObject(verified.value) && verified.value["state"] === "modified") approved.set(id, "");
  }
  const { found } = await discoverPacks(paths.ecosystem);
  const modified: string[] = [];
  for (const [id, digest] of approved) {
    const pack = found.find((one) => one.pack_id === id);
    const live =
      pack === undefined
        ? null
        : await hashTree(pack.folder).then(
            (listing) => listing.digest,
            () => null,
          );
    if (live !== digest) modified.push(id);
  }
  const [waiting, faulty]: [string[], string[]] = [[], []];
  for (const { folder, pack_id: id } of found) {
    if (!decided.has(id)) ((await readPack(folder, id)).ok ? waiting : faulty).push(id);
  }
  const review = (ids: readonly string[]): string => `npm run rumi -- pack review ${ids[0] ?? ""}`;
  return [
    tampered.length === 0
      ? ok("state_files", `${decided.size} approval records, signatures good`)
      : fail("state_files", `records that were changed: ${tampered.join(", ")}; they grant nothing`, review(tampered)),
    modified.length === 0
      ? ok("modified_packs", "none")
      : warn("modified_packs", `differ from what was approved, so they do not run: ${modified.join(", ")}`, review(modified)),
    waiting.length === 0
      ? ok("pending", "no new pack waits")
      : warn("pending", `wait for your approval: ${waiting.join(", ")}`, review(waiting)),
    ...(faulty.length === 0
      ? []
      : [warn("faulty_packs", `cannot be approved: ${faulty.join(", ")}`, `npm run rumi -- pack validate ${faulty[0] ?? ""}`)]),
  ];
}

async function legacyFinding(paths: HomePaths): Promise<Finding> {
  for (const folder of [join(paths.home, "flow"), join(paths.ecosystem, "flows")]) {
    const names = await readdir(folder).catch(() => []);
    if (names.some((name) => name.endsWith(".flow.yaml")))
      return warn("legacy_dirs", LEGACY_TEXT, "mv those files to user_data/shared/flows/");
  }
  return ok("legacy_dirs", "none");
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

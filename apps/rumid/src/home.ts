import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureFolder } from "@rumi/safe-files";

/** Every path of one home that the daemon itself names. */
export interface HomePaths {
  readonly home: string;
  readonly ecosystem: string;
  readonly userData: string;
  readonly permissions: string;
  readonly signingKey: string;
  readonly revisions: string;
  readonly audit: string;
  readonly settings: string;
  readonly auditHeads: string;
  readonly tokens: string;
  readonly apiToken: string;
  readonly daemonFile: string;
  readonly installationId: string;
  readonly imagePins: string;
  readonly sharedFlows: string;
}

/** Paths of `home`. Source: page "Trust", section 2. */
export function homePaths(home: string, signingKeyFile: string | null = null): HomePaths {
  const userData = join(home, "user_data");
  const permissions = join(userData, "permissions");
  const settings = join(userData, "settings");
  return {
    home,
    ecosystem: join(home, "ecosystem"),
    userData,
    permissions,
    signingKey: signingKeyFile ?? join(permissions, ".secret_key"),
    revisions: join(permissions, "revisions.json"),
    audit: join(userData, "audit"),
    settings,
    auditHeads: join(settings, "audit_heads.jsonl"),
    tokens: join(settings, "tokens.json"),
    apiToken: join(settings, "api_token"),
    daemonFile: join(settings, "daemon.json"),
    installationId: join(settings, "installation"),
    imagePins: join(settings, "images.json"),
    sharedFlows: join(userData, "shared", "flows"),
  };
}

/** Makes the folders that are not there; never changes one that is. */
export async function prepareHome(paths: HomePaths): Promise<void> {
  await ensureFolder(paths.ecosystem, 0o755);
  const private_ = [paths.userData, paths.permissions, join(paths.permissions, "approvals"), paths.audit, paths.settings];
  for (const folder of [
    ...private_,
    join(paths.userData, "packs"),
    join(paths.userData, "shared"),
    paths.sharedFlows,
    join(paths.userData, "pending"),
  ])
    await ensureFolder(folder);
}

/** The folder this program was installed in: official flows, examples and texts lie below it. */
export const INSTALLATION_ROOT: string = resolve(fileURLToPath(new URL("../../..", import.meta.url)));

/** This daemon's version, from its own manifest. */
export function daemonVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(fileURLToPath(new URL("../package.json", import.meta.url)), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest && typeof manifest.version === "string"
    ? manifest.version
    : "0.0.0";
}

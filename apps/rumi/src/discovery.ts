import { join } from "node:path";
import type { World } from "./world.ts";

/** Where the daemon is looked for when nothing says otherwise. Source: page 40, section 1. */
export const DEFAULT_URL = "http://127.0.0.1:8765";

/** What the command line says about the daemon. */
export interface DiscoveryFlags {
  readonly url?: string | undefined;
  readonly tokenFile?: string | undefined;
}

/** Where the daemon is and how to speak to it. */
export interface Target {
  readonly url: string;
  readonly token: string | null;
  /** Where the token came from, for messages. */
  readonly tokenSource: string | null;
}

/** The homes to look in: `RUMI_HOME` alone when it is set, else the working folder and the installation's. */
export function candidateHomes(world: World): readonly string[] {
  const home = world.env["RUMI_HOME"];
  return home !== undefined && home !== "" ? [home] : [...new Set([world.cwd, world.projectRoot])];
}

/** The first home with a file at `relative`, and its text. */
export async function findInHomes(world: World, relative: string): Promise<{ readonly path: string; readonly text: string } | null> {
  for (const home of candidateHomes(world)) {
    const path = join(home, "user_data", relative);
    const text = await world.readText(path);
    if (text !== null) return { path, text };
  }
  return null;
}

/** Finds the daemon and a token. The local token file is never sent to another machine that a flag or variable names. */
export async function discover(world: World, flags: DiscoveryFlags): Promise<Target> {
  const named = flags.url ?? nonEmpty(world.env["RUMI_URL"]);
  const url = named ?? (await urlOfDaemon(world)) ?? DEFAULT_URL;
  if (flags.tokenFile !== undefined) {
    const text = await world.readText(flags.tokenFile);
    return { url, token: text === null ? null : text.trim(), tokenSource: flags.tokenFile };
  }
  const fromEnv = nonEmpty(world.env["RUMI_TOKEN"]);
  if (fromEnv !== undefined) return { url, token: fromEnv, tokenSource: "RUMI_TOKEN" };
  if (named !== undefined && !isLoopback(named)) return { url, token: null, tokenSource: null };
  const local = await findInHomes(world, "settings/api_token");
  return { url, token: local === null ? null : local.text.trim(), tokenSource: local?.path ?? null };
}

async function urlOfDaemon(world: World): Promise<string | null> {
  const file = await findInHomes(world, "settings/daemon.json");
  if (file === null) return null;
  try {
    const read = JSON.parse(file.text) as { readonly url?: unknown };
    return typeof read.url === "string" && URL.canParse(read.url) ? read.url : null;
  } catch {
    return null;
  }
}

/** True for an address the client can speak to. */
export function isHttpUrl(url: string): boolean {
  return URL.canParse(url) && /^https?:$/u.test(new URL(url).protocol);
}

function isLoopback(url: string): boolean {
  return URL.canParse(url) && ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}

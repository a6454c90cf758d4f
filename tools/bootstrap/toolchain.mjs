// Which Node and pnpm run rumi: the machine's own where they do, else the pinned ones, fetched once into `.toolchain/`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BootstrapError } from "./words.mjs";

/**
 * @typedef {{ name: string, integrity: string | null }} PinnedPackage
 * @typedef {{ version: string, binary: string, packages: Record<string, PinnedPackage | undefined> }} Pin
 * @typedef {{ node: Pin, pnpm: Pin }} Pins
 */

/** The pinned releases. @returns {Pins} */
export function readPins() {
  return JSON.parse(readFileSync(new URL("./pins.json", import.meta.url), "utf8"));
}

/** `1.2.3-x` as numbers, or null when it is no version. @param {string} text @returns {[number, number, number] | null} */
export function parseVersion(text) {
  const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text.trim());
  return match === null ? null : [Number(match[1]), Number(match[2]), Number(match[3])];
}

/** True when a Node of this version can run rumi: any of the pinned major or newer. @param {string} version @param {string} pinned */
export function nodeIsEnough(version, pinned) {
  const have = parseVersion(version);
  const want = parseVersion(pinned);
  return have !== null && want !== null && have[0] >= want[0];
}

/** True when a pnpm reads our lockfile as the pinned one does: same major, not older. @param {string} version @param {string} pinned */
export function pnpmIsEnough(version, pinned) {
  const have = parseVersion(version);
  const want = parseVersion(pinned);
  if (have === null || want === null || have[0] !== want[0]) return false;
  return have[1] !== want[1] ? have[1] > want[1] : have[2] >= want[2];
}

/** Key of the pins' package table. @param {string} platform @param {string} arch @param {boolean} musl */
export function platformKey(platform, arch, musl) {
  return `${platform}-${arch}${musl ? "-musl" : ""}`;
}

/** True on a Linux whose C library is not glibc, where npm's Node builds do not run. */
export function isMusl() {
  if (process.platform !== "linux") return false;
  const report = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (process.report.getReport());
  return report.header?.glibcVersionRuntime === undefined;
}

/**
 * The fetched binary of `tool`, whether or not it is there yet.
 * @param {string} root @param {Pins} pins @param {"node" | "pnpm"} tool @param {string} key
 * @returns {{ binary: string, folder: string, pinned: PinnedPackage } | null} null when there is no build for this platform
 */
export function toolPlace(root, pins, tool, key) {
  const pinned = pins[tool].packages[key];
  if (pinned === undefined) return null;
  const folder = join(root, ".toolchain", `${tool}-${pins[tool].version}`);
  return { folder, pinned, binary: join(folder, "node_modules", pinned.name, pins[tool].binary) };
}

/**
 * The argv of an npm of this machine: the one that started us, else the one on PATH.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string[]}
 */
export function npmCommand(env) {
  const started = env["npm_execpath"];
  if (started !== undefined && basename(started) === "npm-cli.js" && existsSync(started)) return [process.execPath, started];
  return ["npm"];
}

/** The version `pnpm --version` tells on this machine, or null. @param {NodeJS.ProcessEnv} env */
export function machinePnpmVersion(env) {
  const asked = spawnSync("pnpm", ["--version"], {
    encoding: "utf8",
    timeout: 10_000,
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...env, COREPACK_ENABLE_NETWORK: "0", COREPACK_ENABLE_STRICT: "0" },
  });
  return asked.status === 0 ? asked.stdout.trim() : null;
}

/**
 * Fetches one pinned tool into `.toolchain/`: no install script runs, and what came is used only when its integrity is the
 * pinned one and it starts.
 * @param {{ root: string, pins: Pins, tool: "node" | "pnpm", key: string, env: NodeJS.ProcessEnv,
 *   run: (argv: string[], options: { cwd: string, env: NodeJS.ProcessEnv }) => Promise<void> }} o
 * @returns {Promise<string>} the binary
 */
export async function fetchTool({ root, pins, tool, key, env, run }) {
  const place = toolPlace(root, pins, tool, key);
  const { version, binary } = pins[tool];
  if (place === null) throw new BootstrapError(`no_build`, { tool, version, platform: key });
  const folder = `${place.folder}.${process.pid}.part`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  try {
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--no-update-notifier", "--loglevel=error"];
    const network = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=120000"];
    await run([...npmCommand(env), "install", ...flags, ...network, "--prefix", folder, `${place.pinned.name}@${version}`], {
      cwd: folder,
      env,
    });
    const came = installedIntegrity(folder, place.pinned.name);
    if (place.pinned.integrity !== null && came !== place.pinned.integrity) {
      throw new BootstrapError("wrong_bytes", { tool, name: place.pinned.name, version, came, pinned: place.pinned.integrity });
    }
    const path = join(folder, "node_modules", place.pinned.name, binary);
    const started = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 30_000 });
    if (started.status !== 0) {
      throw new BootstrapError("does_not_start", { tool, version, platform: key, output: started.stderr ?? String(started.error) });
    }
    rmSync(place.folder, { recursive: true, force: true });
    renameSync(folder, place.folder);
    return place.binary;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The integrity npm checked while it unpacked `name`, or null. @param {string} folder @param {string} name @returns {string | null} */
export function installedIntegrity(folder, name) {
  const path = join(folder, "node_modules", ".package-lock.json");
  if (!existsSync(path)) return null;
  return JSON.parse(readFileSync(path, "utf8")).packages?.[`node_modules/${name}`]?.integrity ?? null;
}

/** PATH for what we start: the chosen tools first, then the workspace's own, then the machine's. @param {string} root @param {string[]} binaries @param {string} path */
export function toolPath(root, binaries, path) {
  const folders = binaries.map((binary) => dirname(binary));
  return [...new Set([...folders, join(root, "node_modules", ".bin"), ...path.split(":")])].filter((folder) => folder !== "").join(":");
}

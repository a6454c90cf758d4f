#!/usr/bin/env node
// Entry of `npm start`, `npm test` and every other root script. Runs on any Node >= 18 without a dependency: fetches the
// pinned Node and pnpm when the machine's own are too old or missing, installs with the frozen lockfile, builds, and runs the
// verb; before the daemon it sees to a sandbox. Whatever is already there is skipped, so a second start adds a few dozen milliseconds.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildFingerprint, installFingerprint, isFresh, outputsExist, remember } from "./bootstrap/freshness.mjs";
import { ensureIsolation, takeYes } from "./bootstrap/isolation.mjs";
import { exitCodeOf, runQuietly, supervise } from "./bootstrap/supervise.mjs";
import {
  fetchTool,
  isMusl,
  machinePnpmVersion,
  nodeIsEnough,
  npmCommand,
  parseVersion,
  platformKey,
  pnpmIsEnough,
  readPins,
  toolPath,
  toolPlace,
} from "./bootstrap/toolchain.mjs";
import { takeTurn } from "./bootstrap/turn.mjs";
import { parseVerb, VERBS } from "./bootstrap/verbs.mjs";
import { BootstrapError, explain } from "./bootstrap/words.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = 18;
let spoke = false;

/** One calm line, on stderr so that a verb's own output stays clean. @param {string} text */
function say(text) {
  if (!spoke) process.stderr.write("rumi: preparing this checkout; what is done once is not done again\n");
  spoke = true;
  process.stderr.write(text);
}

/**
 * Does one step of the preparation and tells how long it took.
 * @template T @param {string} what @param {() => Promise<T>} work @returns {Promise<T>}
 */
async function step(what, work) {
  const started = performance.now();
  say(`  ${what} ... `);
  try {
    const value = await work();
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
    return value;
  } catch (error) {
    process.stderr.write("failed\n");
    throw error;
  }
}

/**
 * Runs one command of the preparation. @param {string} doing @param {boolean} fetches
 * @returns {(argv: string[], options: { cwd: string, env: NodeJS.ProcessEnv }) => Promise<void>}
 */
function command(doing, fetches) {
  return async (argv, options) => {
    const done = await runQuietly(argv, options);
    if (done.interrupted !== null) process.exit(exitCodeOf(null, done.interrupted));
    if (done.missing && argv[0] === "npm") throw new BootstrapError("no_npm");
    if (done.code !== 0) {
      throw new BootstrapError("command_failed", { doing, fetches, command: readable(argv), output: done.output });
    }
  };
}

/** A command as a person would type it, without its options. @param {string[]} argv */
function readable(argv) {
  const words = argv.filter((word, at) => !word.startsWith("--") && argv[at - 1] !== "--prefix");
  const short = words.map((word) => word.replace(`${root}/`, "").replace(/^.*\/(?:npm-cli\.js|(pnpm))$/, (_, pnpm) => pnpm ?? "npm"));
  return short.slice(short[1] === "npm" ? 1 : 0).join(" ");
}

/** Everything the verb needs, prepared. @param {{ builds: boolean }} verb @returns {Promise<{ node: string, env: NodeJS.ProcessEnv }>} */
async function prepare(verb) {
  const pins = readPins();
  const key = platformKey(process.platform, process.arch, isMusl());
  const install = installFingerprint(root, key);
  const build = verb.builds ? buildFingerprint(root, install) : "";
  const ownNode = nodeIsEnough(process.versions.node, pins.node.version);
  const nodeBinary = ownNode ? process.execPath : (toolPlace(root, pins, "node", key)?.binary ?? null);
  const needsNode = nodeBinary === null || !existsSync(nodeBinary);
  const needsInstall = () => !isFresh(root, "install", install) || !existsSync(join(root, "node_modules", ".modules.yaml"));
  const needsBuild = () => verb.builds && (!isFresh(root, "build", build) || !outputsExist(root));
  let node = nodeBinary ?? "";
  /** @type {string[]} */
  const tools = [];
  if (needsNode || needsInstall() || needsBuild()) {
    const giveBack = await takeTurn(root, () => say("  another command prepares this checkout; waiting for it\n"));
    try {
      if (nodeBinary === null || !existsSync(nodeBinary)) {
        const what = `Node ${pins.node.version} (this machine has ${process.versions.node})`;
        node = await step(`fetching ${what}`, () =>
          fetchTool({ root, pins, tool: "node", key, env: process.env, run: command(`fetching Node ${pins.node.version}`, true) }),
        );
      }
      if (needsInstall()) {
        const pnpm = await findPnpm(pins, key);
        tools.push(pnpm);
        await step("installing the packages of the lockfile", () => installPackages(pnpm, node));
        remember(root, "install", install);
      }
      if (needsBuild()) {
        const tsc = [node, join(root, "node_modules", "typescript", "bin", "tsc"), "-b"];
        await step("building", () => command("building", false)(tsc, { cwd: root, env: withTools([node]) }));
        remember(root, "build", build);
      }
    } finally {
      giveBack();
    }
  }
  return { node, env: withTools([node, ...tools]) };
}

/** @param {string[]} binaries @returns {NodeJS.ProcessEnv} */
function withTools(binaries) {
  return { ...process.env, PATH: toolPath(root, binaries, process.env["PATH"] ?? "") };
}

/** A pnpm that reads our lockfile: fetched before, the machine's own, or fetched now. @param {import("./bootstrap/toolchain.mjs").Pins} pins @param {string} key */
async function findPnpm(pins, key) {
  const fetched = toolPlace(root, pins, "pnpm", key);
  if (fetched !== null && existsSync(fetched.binary)) return fetched.binary;
  const own = machinePnpmVersion(process.env);
  if (own !== null && pnpmIsEnough(own, pins.pnpm.version)) return "pnpm";
  const what = `pnpm ${pins.pnpm.version} (this machine has ${own ?? "none"})`;
  return step(`fetching ${what}`, () =>
    fetchTool({ root, pins, tool: "pnpm", key, env: process.env, run: command(`fetching pnpm ${pins.pnpm.version}`, true) }),
  );
}

/** @param {string} pnpm @param {string} node */
async function installPackages(pnpm, node) {
  // CI: without a terminal pnpm would stop to ask before it replaces a node_modules of another layout.
  const env = { ...withTools([node]), CI: "true" };
  // Its own patience is a minute and more for each package; a missing network is to be told in seconds.
  const network = ["--config.fetch-retries=2", "--config.fetch-retry-mintimeout=500", "--config.fetch-retry-maxtimeout=1500"];
  await command("installing the packages", true)([pnpm, "install", "--frozen-lockfile", "--reporter=append-only", ...network], {
    cwd: root,
    env,
  });
}

/** @param {BootstrapError} error */
function complain(error) {
  const network = error.facts["fetches"] === true;
  const npm = npmCommand(process.env);
  const asked = network
    ? spawnSync(npm[0] ?? "npm", [...npm.slice(1), "config", "get", "registry"], { encoding: "utf8", timeout: 5000 })
    : null;
  const registry = asked?.status === 0 ? asked.stdout.trim() : undefined;
  const machine = { node: process.versions.node, ...(registry === undefined ? {} : { registry }) };
  process.stderr.write(`\n${explain(error, machine).join("\n")}\n`);
}

async function main() {
  const asked = parseVerb(process.argv.slice(2));
  if (asked === null) {
    const lines = Object.entries(VERBS).map(([name, verb]) => `  ${name.padEnd(12)} ${verb.says}`);
    process.stderr.write(`usage: node tools/bootstrap.mjs <verb> [arguments]\n${lines.join("\n")}\n`);
    return 2;
  }
  if ((parseVersion(process.versions.node)?.[0] ?? 0) < OLDEST_NODE) throw new BootstrapError("old_node");
  const { node, env } = await prepare(asked.verb);
  let words = asked.rest;
  if (asked.verb.daemon === true) {
    const { yes, rest } = takeYes(asked.rest);
    words = rest;
    await ensureIsolation({ root, env, yes, permissive: rest.includes("--permissive"), say: (text) => process.stderr.write(text) });
  }
  return supervise([node, ...asked.verb.argv, ...words], { cwd: root, env, ownGroup: asked.verb.daemon === true });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  complain(error);
  process.exitCode = 1;
}

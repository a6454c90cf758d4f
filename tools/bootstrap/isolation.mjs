// Before the daemon starts on a Linux machine without a Docker engine: bubblewrap, which isolates third-party code without one.
// Whatever comes of it, the start goes on; without any isolation the daemon refuses third-party code and says what to do.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { lastLines } from "./words.mjs";

/** How long an engine may take to answer, and an installation to end. */
const ANSWER_MS = 2000;
const INSTALL_MS = 300_000;
/** An installation that failed is not tried again sooner, so that the next start is quick. */
const FAILED_FOR_MS = 3_600_000;
const ENGINE_SOCKET = "/var/run/docker.sock";
const UP = "tools/bubblewrap-up.sh";

/**
 * What is known before anything is decided.
 * @typedef {object} Facts
 * @property {string} platform
 * @property {"auto" | "docker" | "bubblewrap"} sandbox what `RUMI_SANDBOX` lets the daemon choose
 * @property {boolean} permissive walls were given up for this start
 * @property {boolean} engine a Docker engine answers
 * @property {boolean} bubblewrap it is installed, and what it needs
 * @property {string | null} forbidding the kernel's setting that keeps users from making namespaces, as one that allows it
 * @property {boolean} root
 * @property {boolean} sudo
 * @property {boolean} terminal somebody can be asked
 * @property {boolean} yes `--yes` was given
 * @property {boolean} declined somebody said no before
 * @property {boolean} failedLately an installation failed within the hour
 */

/**
 * What the start does about isolation. Pure. `tell` prints `lines` and goes on.
 * @param {Facts} facts @returns {{ act: "nothing" | "ask" | "install" } | { act: "tell", lines: string[] }}
 */
export function decideIsolation(facts) {
  const { platform, sandbox, engine, bubblewrap, forbidding, root, sudo, terminal, yes } = facts;
  if (platform !== "linux" || sandbox === "docker" || bubblewrap || (engine && sandbox === "auto")) return { act: "nothing" };
  if (facts.permissive && !yes) return { act: "nothing" };
  if (forbidding !== null) {
    return {
      act: "tell",
      lines: [
        "no Docker engine answers, and this kernel forbids the namespaces that bubblewrap, the other sandbox, is made of.",
        `to allow them: sudo sysctl -w ${forbidding} && sudo ${UP}`,
        "or a Docker engine: sudo tools/engine-up.sh",
      ],
    };
  }
  const command = { act: /** @type {const} */ ("tell"), lines: [`no sandbox is here; to isolate third-party code: sudo ${UP}`] };
  const able = root || sudo;
  if (yes) return able ? { act: "install" } : command;
  if (facts.failedLately) return command;
  if (terminal) return able && !facts.declined ? { act: "ask" } : command;
  return root ? { act: "install" } : command;
}

/** The start's own words among those of the daemon. @param {readonly string[]} words @returns {{ yes: boolean, rest: string[] }} */
export function takeYes(words) {
  return { yes: words.includes("--yes") || words.includes("-y"), rest: words.filter((word) => word !== "--yes" && word !== "-y") };
}

/** Whether an answer to the question means yes; Enter alone does. @param {string} answer */
export function meansYes(answer) {
  return /^(|y|yes)$/i.test(answer.trim());
}

/**
 * The setting to make where the kernel forbids namespaces to users; null where it allows them. `read`: a file below
 * /proc/sys, null when it is not there. @param {(name: string) => string | null} read @returns {string | null}
 */
export function forbiddingSetting(read) {
  if (read("kernel/unprivileged_userns_clone") === "0") return "kernel.unprivileged_userns_clone=1";
  if (read("user/max_user_namespaces") === "0") return "user.max_user_namespaces=15000";
  if (read("kernel/apparmor_restrict_unprivileged_userns") === "1") return "kernel.apparmor_restrict_unprivileged_userns=0";
  return null;
}

/**
 * Sees to it that third-party code can be isolated, as far as that can be done here. Never throws, never stops the start.
 * @param {{ root: string, env: NodeJS.ProcessEnv, yes: boolean, permissive: boolean, say: (text: string) => void }} o
 */
export async function ensureIsolation({ root, env, yes, permissive, say }) {
  const facts = await readFacts(root, env, yes, permissive);
  const decision = decideIsolation(facts);
  if (decision.act === "nothing") return;
  if (decision.act === "tell") return decision.lines.forEach((line) => say(`rumi: ${line}\n`));
  if (decision.act === "ask" && !(await ask(root, facts, say))) return;
  install(root, env, facts, say);
}

/** @param {string} root @param {NodeJS.ProcessEnv} env @param {boolean} yes @param {boolean} permissive @returns {Promise<Facts>} */
async function readFacts(root, env, yes, permissive) {
  const chosen = env["RUMI_SANDBOX"];
  const sandbox = chosen === "docker" || chosen === "bubblewrap" ? chosen : "auto";
  const isRoot = process.getuid?.() === 0;
  const bubblewrap = isInstalled(env);
  return {
    platform: process.platform,
    sandbox,
    permissive: permissive || env["RUMI_SECURITY_MODE"] === "permissive",
    // The engine is asked only where its answer matters.
    engine: !bubblewrap && sandbox === "auto" && (await engineAnswers(env["RUMI_ENGINE_SOCKET"] || ENGINE_SOCKET)),
    bubblewrap,
    forbidding: forbiddingSetting(readSetting),
    root: isRoot,
    sudo: isProgram("sudo", env),
    terminal: process.stdin.isTTY && process.stderr.isTTY,
    yes,
    declined: existsSync(mark(root, "declined")),
    failedLately: Date.now() - (statSync(mark(root, "failed"), { throwIfNoEntry: false })?.mtimeMs ?? 0) < FAILED_FOR_MS,
  };
}

/** Bubblewrap and what it needs. @param {NodeJS.ProcessEnv} env */
function isInstalled(env) {
  const programs = ["bwrap", "unshare", ...(process.getuid?.() === 0 ? ["setpriv"] : [])];
  return programs.every((name) => isProgram(name, env)) && existsSync("/usr/bin/python3");
}

/** @param {string} name @param {NodeJS.ProcessEnv} env */
function isProgram(name, env) {
  const folders = [...(env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/bin", "/sbin", "/bin"].filter((folder) => folder.startsWith("/"));
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param {string} name @returns {string | null} */
function readSetting(name) {
  try {
    return readFileSync(`/proc/sys/${name}`, "latin1").trim();
  } catch {
    return null;
  }
}

/** @param {string} socketPath @returns {Promise<boolean>} */
function engineAnswers(socketPath) {
  if (!existsSync(socketPath)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/_ping", timeout: ANSWER_MS }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(false));
    asked.once("close", () => resolve(false));
    asked.end();
  });
}

/** @param {string} root @param {"declined" | "failed"} what */
function mark(root, what) {
  return join(root, ".toolchain", `bubblewrap.${what}`);
}

/** @param {string} root @param {"declined" | "failed"} what */
function remember(root, what) {
  mkdirSync(join(root, ".toolchain"), { recursive: true });
  writeFileSync(mark(root, what), "");
}

/** @param {string} root @param {Facts} facts @param {(text: string) => void} say @returns {Promise<boolean>} */
async function ask(root, facts, say) {
  say("rumi: no Docker engine answers. Bubblewrap, a small sandbox of your distribution, isolates third-party code without one.\n");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.once("SIGINT", () => process.exit(130));
  const asRoot = facts.root ? "" : ", as root through sudo";
  const answer = await new Promise((/** @type {(answer: string) => void} */ resolve) => {
    lines.once("close", () => resolve("no"));
    lines.question(`      Install it now with this machine's package manager${asRoot}? [Y/n] `, resolve);
  });
  lines.close();
  if (meansYes(answer)) return true;
  remember(root, "declined");
  say(`rumi: not installed, and not asked again; the command is: sudo ${UP}\n`);
  return false;
}

/** @param {string} root @param {NodeJS.ProcessEnv} env @param {Facts} facts @param {(text: string) => void} say */
function install(root, env, facts, say) {
  const argv = [...(facts.root ? [] : ["sudo", ...(facts.terminal ? [] : ["-n"])]), join(root, UP)];
  say("rumi: no Docker engine answers; installing bubblewrap, the sandbox that needs none ... ");
  const started = performance.now();
  const [program = "", ...words] = argv;
  const done = spawnSync(program, words, {
    cwd: root,
    env,
    encoding: "utf8",
    timeout: INSTALL_MS,
    // sudo asks for its password on the terminal itself.
    stdio: [facts.terminal ? "inherit" : "ignore", "pipe", "pipe"],
  });
  if (done.status === 0 && isInstalled(env)) return say(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  remember(root, "failed");
  say("failed\n");
  for (const line of lastLines(`${done.stdout ?? ""}\n${done.stderr ?? ""}`, 3)) say(`      ${line}\n`);
  say(`rumi: the start goes on, and third-party code is refused until a sandbox is here: sudo ${UP}\n`);
}

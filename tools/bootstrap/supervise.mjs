// Starts what a verb asks for, passes signals on once, and keeps its exit code.
import { spawn } from "node:child_process";
import { constants } from "node:os";

/** Signals that ask us to end. A closed terminal (SIGHUP) ends the daemon like SIGTERM. */
const ENDING = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** A second Ctrl-C counts as one only this long after the first: a group signal reaches us twice within milliseconds. */
export const SECOND_SIGNAL_AFTER_MS = 1000;

/** The exit code a shell would report. @param {number | null} code @param {NodeJS.Signals | null} signal */
export function exitCodeOf(code, signal) {
  if (code !== null) return code;
  return signal === null ? 1 : 128 + (constants.signals[signal] ?? 0);
}

/**
 * Decides what to pass on. One Ctrl-C or one group signal arrives from the terminal and again from npm: it is passed on
 * once; a later second one is passed on too, so that an impatient operator is heard.
 * @param {(signal: NodeJS.Signals) => void} pass @param {() => number} now
 */
export function onceEach(pass, now) {
  let last = Number.NEGATIVE_INFINITY;
  /** @param {NodeJS.Signals} signal */
  return (signal) => {
    if (now() - last < SECOND_SIGNAL_AFTER_MS) return;
    last = now();
    pass(signal === "SIGHUP" ? "SIGTERM" : signal);
  };
}

/**
 * Runs `argv` to its end. With `ownGroup` it gets a process group of its own, so that a signal to ours reaches it exactly
 * once, through us. @param {string[]} argv @param {{ cwd: string, env: NodeJS.ProcessEnv, ownGroup: boolean }} options
 * @returns {Promise<number>} its exit code
 */
export function supervise(argv, { cwd, env, ownGroup }) {
  const [command = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ownGroup ? ["ignore", "inherit", "inherit"] : "inherit", detached: ownGroup });
    const pass = onceEach(
      (signal) => child.kill(signal),
      () => performance.now(),
    );
    // Without a group of its own the child has the terminal's signals already; only what npm or a supervisor sends to us alone
    // must be passed on, and a tool bears to hear it twice.
    for (const signal of ENDING) process.on(signal, pass);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      for (const ending of ENDING) process.off(ending, pass);
      resolve(exitCodeOf(code, signal));
    });
  });
}

/**
 * Runs a preparation step quietly. Resolves with its output.
 * @param {string[]} argv @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<{ code: number, output: string, missing: boolean, interrupted: NodeJS.Signals | null }>}
 */
export function runQuietly(argv, { cwd, env }) {
  const [command = "", ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    /** @type {NodeJS.Signals | null} */
    let interrupted = null;
    /** @param {Buffer} chunk */
    const keep = (chunk) => {
      output = (output + chunk.toString("utf8")).slice(-64 * 1024);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    /** @param {NodeJS.Signals} signal */
    const stop = (signal) => {
      interrupted = signal;
      child.kill(signal);
    };
    for (const signal of ENDING) process.on(signal, stop);
    /** @param {number} code @param {boolean} missing */
    const done = (code, missing) => {
      for (const signal of ENDING) process.off(signal, stop);
      resolve({ code, output, missing, interrupted });
    };
    child.once("error", (error) => {
      output += String(error);
      done(127, /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT");
    });
    child.once("close", (code, signal) => done(exitCodeOf(code, signal), false));
  });
}

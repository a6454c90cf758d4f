#!/usr/bin/env node
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { EXIT } from "./exit-codes.ts";
import { runCli } from "./program.ts";
import { readHidden, readPiped } from "./read-secret.ts";
import type { ChildEnd, World } from "./world.ts";

/** Largest file the command line reads: a token, a small settings file, inputs. */
const MAX_FILE_BYTES = 10 * 1024 * 1024;

const here = dirname(fileURLToPath(import.meta.url));
const projectRoot = join(here, "..", "..", "..");
const fromSource = import.meta.url.endsWith(".ts");
const interrupted = new AbortController();
let children = 0;

function runDaemon(args: readonly string[], options: { readonly captureStdout: boolean }): Promise<ChildEnd> {
  const program = fromSource
    ? ["--conditions=rumi-source", join(projectRoot, "apps", "rumid", "src", "main.ts")]
    : [join(projectRoot, "apps", "rumid", "dist", "main.js")];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...program, ...args], {
      stdio: ["inherit", options.captureStdout ? "pipe" : "inherit", "inherit"],
    });
    children += 1;
    let stdout = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.once("error", reject);
    child.once("close", (code, signal) => {
      children -= 1;
      resolve({ exitCode: code ?? (signal === "SIGINT" ? EXIT.interrupted : EXIT.failed), stdout });
    });
  });
}

async function readText(path: string): Promise<string | null> {
  try {
    const bytes = await readFile(path);
    return bytes.byteLength > MAX_FILE_BYTES ? null : bytes.toString("utf8");
  } catch {
    return null;
  }
}

function readKey(): Promise<string> {
  return new Promise((resolve) => {
    const { stdin } = process;
    stdin.setRawMode(true).setEncoding("utf8").resume();
    stdin.once("data", (key) => {
      stdin.setRawMode(false).pause();
      resolve(String(key).slice(0, 1));
    });
  });
}

function readSecret(prompt: string): Promise<string | null> {
  const { stderr, stdin } = process;
  if (!stdin.isTTY) return readPiped(stdin);
  return readHidden(stdin, {
    prompt: () => stderr.write(prompt),
    done: () => stderr.write("\n"),
    interrupt: () => {
      interrupted.abort();
    },
  });
}

const world: World = {
  env: process.env,
  cwd: process.cwd(),
  projectRoot,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  interactive: process.stdin.isTTY && process.stdout.isTTY,
  readKey,
  readSecret,
  readText,
  runDaemon,
  fetch,
  interrupted: interrupted.signal,
};

// A child daemon gets the terminal's Ctrl-C itself and ends in order; any other wait ends with 130, the second time at once.
process.on("SIGINT", () => {
  if (interrupted.signal.aborted && children === 0) process.exit(EXIT.interrupted);
  interrupted.abort();
});

process.exitCode = await runCli(process.argv.slice(2), world);

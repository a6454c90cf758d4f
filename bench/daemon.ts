import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { rest } from "./measure.ts";

const ROOT = join(import.meta.dirname, "..");
const START_MS = 60_000;

/** A daemon of its own, on a free port. */
export interface Daemon {
  /** Resolves with the answer's JSON; rejects on a status from 400 on. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts the daemon from its sources in `home`; resolves when /health answers. */
export async function startDaemon(home: string, settings: Readonly<Record<string, string>>): Promise<Daemon> {
  const child = spawn(process.execPath, ["--conditions=rumi-source", join(ROOT, "apps/rumid/src/main.ts"), "start"], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], RUMI_HOME: home, RUMI_API_PORT: "0", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  const keep = (part: Buffer): void => {
    printed = (printed + part.toString()).slice(-20_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const agent = new Agent({ keepAlive: true });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    agent.destroy();
  };
  for (const started = performance.now(); performance.now() - started < START_MS; await rest(50)) {
    if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}:\n${printed}`);
    const found = await whereItListens(home, child.pid);
    if (found === null) continue;
    const ask: Daemon["ask"] = (method, path, body) => call(agent, found, method, path, body);
    if (
      await ask("GET", "/health").then(
        () => true,
        () => false,
      )
    )
      return { ask, stop };
  }
  await stop();
  throw new Error(`no /health:\n${printed}`);
}

interface Listening {
  readonly url: string;
  readonly token: string;
}

async function whereItListens(home: string, pid: number | undefined): Promise<Listening | null> {
  const settings = join(home, "user_data", "settings");
  try {
    const info = JSON.parse(await readFile(join(settings, "daemon.json"), "utf8")) as { pid: number; url: string };
    if (info.pid !== pid) return null;
    return { url: info.url, token: (await readFile(join(settings, "api_token"), "utf8")).trim() };
  } catch {
    return null;
  }
}

function call(agent: Agent, { url, token }: Listening, method: string, path: string, body: unknown): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${token}`,
    ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
  };
  return new Promise((resolve, reject) => {
    const asked = request(new URL(path, url), { agent, method, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => {
        const raw = Buffer.concat(parts).toString("utf8");
        if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${answer.statusCode} ${raw.slice(0, 1000)}`));
        else resolve(raw === "" ? null : JSON.parse(raw));
      });
    });
    asked.on("error", reject);
    asked.end(text);
  });
}

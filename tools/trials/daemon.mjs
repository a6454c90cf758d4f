// A daemon of its own for a trial: started in a given home on a free port, asked over loopback, stopped at the end.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Starts `rumid` in `home`; resolves when /health answers 200. `extra` is added to a bare environment. */
export async function startDaemon(home, extra = {}) {
  const child = spawn(process.execPath, ["--conditions=rumi-source", join(root, "apps/rumid/src/main.ts"), "start"], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, RUMI_HOME: home, RUMI_API_PORT: "0", ...extra },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 240 });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed = (printed + chunk).slice(-20_000)));
  child.stderr.on("data", (chunk) => (printed = (printed + chunk).slice(-20_000)));
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const settings = join(home, "user_data", "settings");
  for (let tries = 0; tries < 600; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}:\n${printed}`);
    const daemon = connect(settings, child.pid, agent);
    if (daemon === null) continue;
    const health = await daemon.ask("GET", "/health").catch(() => null);
    if (health?.status !== 200) continue;
    return {
      ...daemon,
      child,
      printed: () => printed,
      async stop(signal = "SIGTERM") {
        child.kill(signal);
        const end = await ended;
        agent.destroy();
        return end;
      },
    };
  }
  child.kill("SIGKILL");
  throw new Error(`no /health:\n${printed}`);
}

function connect(settings, pid, agent) {
  let info, token;
  try {
    info = JSON.parse(readFileSync(join(settings, "daemon.json"), "utf8"));
    token = readFileSync(join(settings, "api_token"), "utf8").trim();
  } catch {
    return null;
  }
  if (info.pid !== pid) return null;
  return { url: info.url, ask: (method, path, body) => ask(agent, info.url, token, method, path, body) };
}

function ask(agent, url, token, method, path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const call = request(
      new URL(path, url),
      {
        agent,
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
        },
      },
      (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () => {
          const raw = Buffer.concat(parts).toString("utf8");
          resolve({ status: answer.statusCode, headers: answer.headers, body: raw === "" ? null : JSON.parse(raw) });
        });
      },
    );
    call.on("error", reject);
    call.end(text);
  });
}

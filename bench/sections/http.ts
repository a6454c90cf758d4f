import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { startDaemon } from "../daemon.ts";
import { closedLoop, crowd, paced } from "../measure.ts";
import { PROGRAMS, SMALL_INPUT } from "../place.ts";
import type { Report } from "../report.ts";

const FLOWS = {
  sets: `flow_id: sets
inputs: {name: string}
outputs: {greeting: string}
phases: [main]
steps:
  - {id: greet, phase: main, type: set, input: {key: greeting, value: "Hello, \${ctx.name}!"}}
`,
  python: fileFlow("python", "hello.py"),
  node: fileFlow("node", "hello.mjs"),
} as const;

function fileFlow(id: string, file: string): string {
  return `flow_id: ${id}
inputs: {name: string, text: string}
outputs: {greeting: object}
phases: [main]
steps:
  - {id: greet, phase: main, type: file_call, owner_pack: bench, file: ${file}, input: {name: "\${ctx.name}", text: "\${ctx.text}"}, output: greeting}
`;
}

/** The whole path over HTTP, and the server alone beside a bare one on the same stack. */
export async function http(report: Report, withBlocks: boolean, scale: number): Promise<void> {
  await bare(report, scale);
  await using home = await temporaryFolder("rumi-bench-home-");
  const pack = join(home.path, "ecosystem", "bench");
  const shared = join(home.path, "user_data", "shared", "flows");
  await mkdir(pack, { recursive: true });
  await mkdir(shared, { recursive: true, mode: 0o700 });
  for (const file of ["hello.py", "hello.mjs"]) await copyFile(join(PROGRAMS, file), join(pack, file));
  await writeFile(join(pack, "ecosystem.json"), JSON.stringify({ pack_id: "bench", pack_identity: "local:bench" }));
  for (const [id, text] of Object.entries(FLOWS)) await writeFile(join(shared, `${id}.flow.yaml`), text);
  const daemon = await startDaemon(home.path, {
    RUMI_API_RATE_LIMIT: "10000000",
    RUMI_API_ADDRESS_RATE_LIMIT: "10000000",
    RUMI_MAX_CONCURRENT_FLOWS: "64",
  });
  try {
    const health = (): Promise<unknown> => daemon.ask("GET", "/health");
    const run = (flow: string) => (): Promise<unknown> => daemon.ask("POST", `/api/flows/${flow}/run`, { inputs: SMALL_INPUT });
    report.add("http.health", "GET /health", await closedLoop(health, 2000 * scale, 300));
    report.add("http.health.c16", "GET /health, 16 callers", await crowd(health, 6000 * scale, 16));
    report.add("http.sets", "POST run of a set flow", await closedLoop(run("sets"), 1000 * scale, 200));
    report.add("http.sets.c16", "POST run of a set flow, 16 callers", await crowd(run("sets"), 4000 * scale, 16));
    if (!withBlocks) return;
    await daemon.ask("POST", "/api/packs/bench/approve", {});
    report.add("http.python", "POST run, one isolated Python step", await closedLoop(run("python"), 400 * scale, 200));
    report.add("http.python.paced", "POST run, one isolated Python step, paced 10 ms", await paced(run("python"), 150 * scale, 10));
    report.add("http.python.c8", "POST run, one isolated Python step, 8 callers", await crowd(run("python"), 1500 * scale, 8));
    report.add("http.node.paced", "POST run, one isolated Node step, paced 100 ms", await paced(run("node"), 30 * scale, 100));
  } finally {
    await daemon.stop();
  }
}

async function bare(report: Report, scale: number): Promise<void> {
  const child = spawn(process.execPath, [join(PROGRAMS, "bare-hono.ts")], { stdio: ["ignore", "pipe", "inherit"] });
  const agent = new Agent({ keepAlive: true });
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const port = Number(line.toString());
    const body = JSON.stringify({ inputs: SMALL_INPUT });
    const ask = (method: string, path: string) => (): Promise<void> =>
      new Promise((resolve, reject) => {
        const headers = method === "POST" ? { "content-type": "application/json", "content-length": body.length } : {};
        const asked = request({ agent, host: "127.0.0.1", port, method, path, headers }, (answer) => {
          answer.resume();
          answer.once("end", resolve);
        });
        asked.once("error", reject);
        asked.end(method === "POST" ? body : undefined);
      });
    report.add("bare.get", "bare hono GET", await closedLoop(ask("GET", "/health"), 2000 * scale, 300));
    report.add("bare.get.c16", "bare hono GET, 16 callers", await crowd(ask("GET", "/health"), 6000 * scale, 16));
    report.add("bare.post", "bare hono POST of JSON", await closedLoop(ask("POST", "/run"), 2000 * scale, 300));
    report.add("bare.post.c16", "bare hono POST of JSON, 16 callers", await crowd(ask("POST", "/run"), 6000 * scale, 16));
  } finally {
    agent.destroy();
    child.kill();
  }
}

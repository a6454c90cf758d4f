// How much a pack feels of a neighbour that uses all it may: node tools/trials/neighbour.mjs [rounds] [seconds of noise]
// Prints p50 and p95 of the quiet pack's calls alone and beside the noise, and their ratios. Asserts nothing.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { startDaemon } from "./daemon.mjs";
import { approve, TRIAL_LIMITS } from "./slow-pack.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const rounds = Number(process.argv[2] ?? 100);
const seconds = Number(process.argv[3] ?? 20);

/** One power and one request, timed inside, so that the start of the call is told apart from what it asks. */
const BLOCK = `import time
import rumi_capability
import rumi_syscall

def run(data, context):
    began = time.perf_counter()
    kept = rumi_capability.call("store.get", {"store_id": "quiet__kept", "key": "k"})
    asked = time.perf_counter()
    fetched = rumi_syscall.get(data["url"])
    ended = time.perf_counter()
    return {"power": (asked - began) * 1000, "request": (ended - asked) * 1000, "ok": kept["error_type"] == "key_not_found" and fetched["success"]}
`;
const FLOW = `flow_id: quiet
inputs: { url: string }
outputs: { answer: object }
phases: [main]
steps:
  - { id: ask, phase: main, type: file_call, owner_pack: quiet, file: blocks/ask.py, input: { url: "\${ctx.url}" }, output: answer }
`;

const home = mkdtempSync(join(tmpdir(), "rumi-trial-"));
const server = createServer((_request, response) => response.end("small"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const pair = `127.0.0.1:${server.address().port}`;
const url = `http://${pair}/`;

const packFolder = join(home, "ecosystem", "quiet");
for (const folder of ["blocks", "flows"]) mkdirSync(join(packFolder, folder), { recursive: true });
const manifest = { pack_id: "quiet", pack_identity: "local:quiet", version: "1.0.0", stores: [{ store_id: "kept" }] };
writeFileSync(join(packFolder, "ecosystem.json"), JSON.stringify(manifest));
writeFileSync(join(packFolder, "blocks", "ask.py"), BLOCK);
writeFileSync(join(packFolder, "flows", "quiet.flow.yaml"), FLOW);
cpSync(join(root, "examples/packs/hostile_noise"), join(home, "ecosystem", "hostile_noise"), { recursive: true });

const daemon = await startDaemon(home, { ...TRIAL_LIMITS, RUMI_LOG_LEVEL: "warn" });
try {
  for (const [id, store] of [
    ["quiet", "quiet__kept"],
    ["hostile_noise", "hostile_noise__own"],
  ]) {
    await approve(daemon, id);
    await grant(id, "store.get", { allowed_store_ids: [store] });
    await grant(id, "network.egress", {
      allowed_domains: ["127.0.0.1"],
      allowed_ports: [server.address().port],
      allow_private: [pair],
      // The noisy one has the default.
      ...(id === "quiet" ? { requests_per_minute: 100_000 } : {}),
    });
  }
  await measure(20);
  const alone = await measure(rounds);
  const noise = Array.from({ length: 4 }, () => run("hostile_noise", { seconds, url }, seconds + 60));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const beside = await measure(rounds);
  const counts = (await Promise.all(noise)).map(({ body }) => body.data.result?.answer ?? body);
  console.log(`noise: ${JSON.stringify(counts)}`);
  for (const what of ["run", "power", "request"]) {
    const [a, b] = [alone[what], beside[what]];
    const shown = ({ p50, p95 }) => `p50 ${p50.toFixed(2)} ms, p95 ${p95.toFixed(2)} ms`;
    console.log(
      `${what.padEnd(8)} alone ${shown(a)}; beside ${shown(b)}; ratios p50 ${(b.p50 / a.p50).toFixed(2)}, p95 ${(b.p95 / a.p95).toFixed(2)}`,
    );
  }
  console.log(`failed calls of the quiet pack: ${alone.failed} alone, ${beside.failed} beside`);
} finally {
  await daemon.stop();
  server.close();
  server.closeAllConnections();
  rmSync(home, { recursive: true, force: true });
}

async function grant(id, permission, config) {
  const answer = await daemon.ask("POST", "/api/capability/grants/grant", { principal_id: id, permission_id: permission, config });
  if (answer.status !== 200) throw new Error(`${id} ${permission}: ${JSON.stringify(answer.body)}`);
}

function run(flow, inputs, timeout) {
  return daemon.ask("POST", `/api/flows/${flow}/run`, { inputs, timeout });
}

/** Calls the quiet pack one by one, ten a second, and takes the times. */
async function measure(count) {
  const times = { run: [], power: [], request: [] };
  let failed = 0;
  for (let at = 0; at < count; at++) {
    const began = performance.now();
    const { body } = await run("quiet", { url }, 60);
    const took = performance.now() - began;
    const answer = body.data?.result?.answer;
    if (answer?.ok !== true) failed++;
    else {
      times.run.push(took);
      times.power.push(answer.power);
      times.request.push(answer.request);
    }
    // Within its own 600 calls a minute.
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 100 - took)));
  }
  return {
    failed,
    ...Object.fromEntries(Object.entries(times).map(([what, list]) => [what, { p50: quantile(list, 0.5), p95: quantile(list, 0.95) }])),
  };
}

function quantile(list, part) {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

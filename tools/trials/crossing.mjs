// Many callers over many packs against a real daemon: does any answer, input or principal cross, and is memory flat?
//
//   node tools/trials/crossing.mjs [--callers 200] [--packs 20] [--seconds 60]
//
// Starts a daemon of its own in a temporary home, approves `--packs` generated packs (half Python, half Node), and lets
// `--callers` callers ask them at once. Every answer must carry back the caller's own nonce, the pack that was asked and
// the context of that pack. Then the same daemon with default limits must answer 429 with Retry-After over capacity.
// Prints figures; exits 1 on any crossing. Traffic goes to loopback only and stops by itself.
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startDaemon } from "./daemon.mjs";

const { values } = parseArgs({
  options: {
    callers: { type: "string", default: "200" },
    packs: { type: "string", default: "20" },
    seconds: { type: "string", default: "60" },
  },
});
const callers = Number(values.callers);
const packs = Number(values.packs);
const seconds = Number(values.seconds);

const PYTHON = `
def run(input_data, context):
    return {"nonce": input_data["nonce"], "pack": "PACK", "owner": context["owner_pack"], "flow": context["flow_id"],
            "seen": context["inputs"]["nonce"]}
`;
const NODE = `
export function run(input, context) {
  return { nonce: input.nonce, pack: "PACK", owner: context.owner_pack, flow: context.flow_id, seen: context.inputs.nonce };
}
`;

function makeHome() {
  const home = mkdtempSync(join(tmpdir(), "rumi-crossing-"));
  for (let index = 0; index < packs; index++) {
    const id = `cross_${String(index).padStart(2, "0")}`;
    const python = index % 2 === 0;
    const backend = join(home, "ecosystem", id, "backend");
    mkdirSync(join(backend, "blocks"), { recursive: true });
    mkdirSync(join(backend, "flows"), { recursive: true });
    const file = python ? "blocks/echo.py" : "blocks/echo.mjs";
    writeFileSync(join(backend, "ecosystem.json"), JSON.stringify({ pack_id: id, pack_identity: `local:${id}`, version: "1.0.0" }));
    writeFileSync(join(backend, file), (python ? PYTHON : NODE).replaceAll("PACK", id));
    writeFileSync(
      join(backend, "flows", "echo.flow.yaml"),
      `flow_id: ${id}.echo\ninputs:\n  nonce: string\noutputs:\n  answer: object\nphases: [main]\nsteps:\n  - id: echo\n    phase: main\n    type: file_call\n    owner_pack: ${id}\n    file: ${file}\n    input:\n      nonce: "\${ctx.nonce}"\n    output: answer\n`,
    );
  }
  return home;
}

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

async function approveAll(daemon) {
  for (let index = 0; index < packs; index++) {
    const id = `cross_${String(index).padStart(2, "0")}`;
    const answer = await daemon.ask("POST", `/api/packs/${id}/approve`, {});
    if (answer.status !== 200) throw new Error(`approve ${id}: ${JSON.stringify(answer.body)}`);
  }
}

const home = makeHome();
let failed = 0;
try {
  const limits = {
    RUMI_MAX_CONCURRENT_FLOWS: String(callers),
    RUMI_API_RATE_LIMIT: "10000000",
    RUMI_API_ADDRESS_RATE_LIMIT: "10000000",
  };
  console.log(
    `limits raised for this run: ${Object.entries(limits)
      .map(([key, value]) => `${key}=${value}`)
      .join(" ")}`,
  );
  const daemon = await startDaemon(home, limits);
  await approveAll(daemon);
  const latencies = [];
  const codes = new Map();
  const memory = [];
  let crossings = 0;
  const end = Date.now() + seconds * 1000;
  const sampler = setInterval(() => memory.push(rss(daemon.child.pid)), 1000);
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let round = 0; Date.now() < end; round++) {
        const id = `cross_${String((caller + round) % packs).padStart(2, "0")}`;
        const nonce = `${caller}.${round}.${randomBytes(8).toString("hex")}`;
        const started = performance.now();
        const answer = await daemon.ask("POST", `/api/flows/${id}.echo/run`, { inputs: { nonce } });
        latencies.push(performance.now() - started);
        const key = `${answer.status}${answer.body?.code ? ` ${answer.body.code}` : ""}`;
        codes.set(key, (codes.get(key) ?? 0) + 1);
        if (answer.status !== 200) continue;
        const got = answer.body.data.result?.answer;
        if (got?.nonce !== nonce || got.seen !== nonce || got.pack !== id || got.owner !== id || got.flow !== `${id}.echo`) {
          crossings++;
          console.log("CROSSED", { id, nonce, got });
        }
      }
    }),
  );
  clearInterval(sampler);
  latencies.sort((a, b) => a - b);
  console.log(
    `${callers} callers, ${packs} packs, ${seconds} s: ${latencies.length} calls, ${(latencies.length / seconds).toFixed(0)}/s, ` +
      `p50 ${quantile(latencies, 0.5).toFixed(1)} ms, p95 ${quantile(latencies, 0.95).toFixed(1)} ms`,
  );
  console.log(`answers: ${[...codes].map(([key, count]) => `${key} x${count}`).join(", ")}; crossings: ${crossings}`);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const sixths = Array.from({ length: 6 }, (_, part) => {
    const [from, to] = [part, part + 1].map((edge) => Math.floor((edge * memory.length) / 6));
    return mean(memory.slice(from, to)).toFixed(0);
  });
  console.log(`daemon RSS MB, by sixths of the time: ${sixths.join(" ")}`);
  if (crossings > 0 || [...codes.keys()].some((key) => key !== "200")) failed = 1;
  await daemon.stop();

  const strict = await startDaemon(home, { RUMI_API_RATE_LIMIT: "10000000" });
  const burst = await Promise.all(
    Array.from({ length: 60 }, (_, caller) => strict.ask("POST", "/api/flows/cross_00.echo/run", { inputs: { nonce: `burst-${caller}` } })),
  );
  const over = burst.filter((answer) => answer.status === 429);
  const named = over.every((answer) => Number(answer.headers["retry-after"]) >= 1 && answer.body.code === "flow.too_many_runs");
  console.log(
    `default limits, 60 at once: ${burst.length - over.length} answered ${[...new Set(burst.filter((answer) => answer.status !== 429).map((answer) => answer.status))].join(" ")}, ${over.length} got 429 with Retry-After: ${named}`,
  );
  if (over.length === 0 || !named) failed = 1;
  await strict.stop();
} finally {
  rmSync(home, { recursive: true, force: true });
}
process.exitCode = failed;

// Does a run outlive a daemon that dies at any moment?
//
//   node tools/trials/resume.mjs [--kills 300] [--steps 20] [--within 2000]      (or RUMI_TRIAL_KILLS)
//
// Starts a daemon of its own in a temporary home and runs a flow of `--steps` Python steps, each of which leaves a mark in a store
// every time it runs. Kills the daemon with SIGKILL at a random moment and starts it again, over and over; a new run begins when
// none goes on. After each kill the files say which steps had finished: none of those may ever run again. After each start the run
// has to go on within `--within` milliseconds of `/health`. At the end: no run that was answered is lost, each completed or ended
// at the limit of resumes, the events of each are numbered without a gap, the audit log is whole. Prints counts; exits 1 on any
// failure. Needs a sandbox.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { COUNT_BLOCK, countingFlow, COUNTING_PACK } from "../../apps/rumid/test/counting-pack.ts";
import { startDaemon } from "./daemon.mjs";
import { approve, TRIAL_LIMITS } from "./slow-pack.mjs";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: process.env.RUMI_TRIAL_KILLS ?? "300" },
    steps: { type: "string", default: "20" },
    within: { type: "string", default: "2000" },
  },
});
const kills = Number(values.kills);
const steps = Number(values.steps);
const withinMs = Number(values.within);

/** The moment of the kill is drawn from these, ms after the run goes on. */
const KILL_AFTER_MS = [0, 2_000];
/** How long each step takes at least the first time. */
const STEP_SECONDS = 0.1;
/** Failures that are printed. */
const MAX_SHOWN = 20;
/** Longest a run may take once nobody kills any more. */
const END_MS = 120_000;
const LOOK_MS = 5;
const FLOW = "trial_resume";
const LIMIT_REACHED = "flow.resume_limit";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wrong = [];
const started = [];
/** Marks of finished steps as they were at each kill: `run:step` -> how often it had run. */
const settled = new Map();
const total = { finishedAtKill: 0, again: 0, openAtKill: 0, betweenRuns: 0, resumedMs: [], startMs: [] };

const home = mkdtempSync(join(tmpdir(), "rumi-resume-"));

function writeHome() {
  const folder = join(home, "ecosystem", COUNTING_PACK);
  mkdirSync(join(folder, "blocks"), { recursive: true });
  writeFileSync(
    join(folder, "ecosystem.json"),
    JSON.stringify({ pack_id: COUNTING_PACK, pack_identity: `local:${COUNTING_PACK}`, version: "1.0.0" }),
  );
  writeFileSync(join(folder, "blocks", "count.py"), COUNT_BLOCK);
  const flows = join(home, "user_data", "shared", "flows");
  mkdirSync(flows, { recursive: true });
  writeFileSync(join(flows, `${FLOW}.flow.yaml`), countingFlow(FLOW, steps, { at: "each", seconds: STEP_SECONDS }));
}

async function allow(daemon) {
  await approve(daemon, COUNTING_PACK);
  const answers = [await daemon.ask("POST", "/api/stores/create", { store_id: "log", max_keys: 1_000_000 })];
  for (const permission of ["store.set", "store.list"]) {
    const grant = { principal_id: COUNTING_PACK, permission_id: permission, config: { allowed_store_ids: ["log"] } };
    answers.push(await daemon.ask("POST", "/api/capability/grants/grant", grant));
  }
  const refused = answers.find(({ status }) => status !== 200);
  if (refused !== undefined) throw new Error(JSON.stringify(refused.body));
}

/** Rows of a database that nobody writes now. */
function rowsOf(file, sql) {
  const database = new DatabaseSync(join(home, "user_data", file));
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

/** How often each step ran, by `run:step`: its mark is its idempotency key. */
function marks() {
  const counts = new Map();
  for (const { value } of rowsOf("stores/stores.db", "SELECT value FROM items")) {
    const key = JSON.parse(value);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** What the files say while the daemon is dead: nothing that had finished before may have run again since. */
function inspectDead(kill) {
  const counts = marks();
  for (const [step, count] of settled) {
    if ((counts.get(step) ?? 0) === count) continue;
    settled.set(step, counts.get(step) ?? 0);
    total.again += 1;
    wrong.push(`kill ${kill}: ${step} had finished and ran again`);
  }
  const rows = rowsOf(
    "runs/runs.db",
    `SELECT run_id, path, status, state FROM steps JOIN runs ON runs.id = steps.run WHERE runs.flow_id = '${FLOW}'`,
  );
  for (const { run_id: run, path, status } of rows) {
    const step = `${String(run)}:${String(path)}`;
    if (status !== "done" || settled.has(step)) continue;
    settled.set(step, counts.get(step) ?? 0);
    if (!counts.has(step)) wrong.push(`kill ${kill}: ${step} is done and left no mark`);
    total.finishedAtKill += 1;
  }
  total.openAtKill += rows.filter((row) => row.status === "running" && isOpen(row)).length;
  const kept = new Set(rowsOf("runs/runs.db", "SELECT run_id FROM runs").map((row) => row.run_id));
  for (const id of started) if (!kept.has(id)) wrong.push(`kill ${kill}: run ${id} is lost`);
}

const viewOf = async (daemon, id) => (await daemon.ask("GET", `/api/runs/${id}`)).body.data;
const isOpen = (view) => view.state === "running" || view.state === "queued";

/** The run that goes on, after it was seen to go on; begins one when none does. */
async function goOn(daemon, kill, before) {
  const ready = performance.now();
  if (before !== null) {
    for (;;) {
      const view = await viewOf(daemon, before.run_id);
      if (view.resumes > before.resumes) {
        total.resumedMs.push(Math.round(performance.now() - ready));
        if (isOpen(view)) return view;
        break;
      }
      if (!isOpen(view)) break;
      if (performance.now() - ready > withinMs) {
        wrong.push(`kill ${kill}: ${before.run_id} did not go on within ${withinMs} ms`);
        break;
      }
      await wait(LOOK_MS);
    }
  }
  total.betweenRuns += 1;
  const answer = await daemon.ask("POST", `/api/flows/${FLOW}/run`, { async: true });
  if (answer.status !== 202) throw new Error(`no run began: ${JSON.stringify(answer.body)}`);
  started.push(answer.body.data.run_id);
  return { run_id: answer.body.data.run_id, resumes: 0, state: "running" };
}

/** The run as the dead daemon left it, or null when it had ended. */
function leftOpen(id) {
  const row = rowsOf("runs/runs.db", "SELECT run_id, state, resumes FROM runs").find(({ run_id: run }) => run === id);
  return row !== undefined && isOpen(row) ? row : null;
}

async function atTheEnd(daemon) {
  const ends = { completed: 0, limit: 0 };
  const deadline = performance.now() + END_MS;
  for (const id of started) {
    let view = await viewOf(daemon, id);
    while (isOpen(view) && performance.now() < deadline) {
      await wait(50);
      view = await viewOf(daemon, id);
    }
    if (view.state === "completed" && view.steps.filter(({ status }) => status === "done").length === steps) ends.completed += 1;
    else if (view.code === LIMIT_REACHED) ends.limit += 1;
    else wrong.push(`run ${id} ended ${view.state} ${view.code ?? ""}`);
  }
  const verified = await daemon.ask("POST", "/api/audit/verify", {});
  if (verified.body.data?.ok !== true) wrong.push(`the audit log is not whole: ${JSON.stringify(verified.body)}`);
  return ends;
}

let daemon = null;
let ends = null;
try {
  writeHome();
  daemon = await startDaemon(home, TRIAL_LIMITS);
  await allow(daemon);
  let before = null;
  for (let kill = 1; kill <= kills; kill += 1) {
    const run = await goOn(daemon, kill, before);
    await wait(KILL_AFTER_MS[0] + Math.random() * (KILL_AFTER_MS[1] - KILL_AFTER_MS[0]));
    await daemon.stop("SIGKILL");
    inspectDead(kill);
    before = leftOpen(run.run_id);
    const start = performance.now();
    daemon = await startDaemon(home, TRIAL_LIMITS);
    total.startMs.push(Math.round(performance.now() - start));
    if (kill % 25 === 0) console.error(`${kill} kills, ${started.length} runs, ${wrong.length} failures`);
  }
  ends = await atTheEnd(daemon);
} catch (error) {
  wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  await daemon?.stop().catch(() => undefined);
}
inspectDead("end");
const gaps = rowsOf("runs/runs.db", "SELECT run, count(*) AS events, max(seq) AS last FROM events GROUP BY run").filter(
  (row) => row.events !== row.last,
);
if (gaps.length > 0) wrong.push(`${gaps.length} runs have a gap in their events`);
const repeated = [...marks().values()].filter((count) => count > 1).length;
rmSync(home, { recursive: true, force: true, maxRetries: 3 });

const middle = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const spread = (list) => (list.length === 0 ? "-" : `${Math.min(...list)} to ${Math.max(...list)} ms, half within ${middle(list)}`);
console.log(`${kills} kills (SIGKILL at a random moment) of a flow of ${steps} steps; ${started.length} runs`);
console.log(
  `runs: ${ends?.completed ?? 0} completed, ${ends?.limit ?? 0} ended at the limit of resumes, ${started.length - (ends?.completed ?? 0) - (ends?.limit ?? 0)} otherwise`,
);
console.log(
  `steps finished before a kill: ${total.finishedAtKill}, ${total.again} again; open at a kill: ${total.openAtKill}, of which ${repeated} ran again`,
);
console.log(`went on after /health: ${spread(total.resumedMs)}; /health after the start of the process: ${spread(total.startMs)}`);
for (const line of wrong.slice(0, MAX_SHOWN)) console.error(line);
console.log(wrong.length === 0 ? "holds" : `FAILED: ${wrong.length}`);
process.exitCode = wrong.length === 0 ? 0 : 1;

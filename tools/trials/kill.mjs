// Does everything hold when the daemon dies in the middle of many calls?
//
//   node tools/trials/kill.mjs [--rounds 10] [--runs 20] [--packs 3]
//
// Starts a daemon of its own in a temporary home, approves the packs once, keeps `--runs` slow runs going at any time,
// and kills the daemon with SIGKILL at a random moment; again and again. After each start: no container of before is left,
// no container is there that the daemon does not list, the audit log is whole, every approval is kept, a run of each pack
// works. Prints a summary; exits 1 on any failure. Needs a Docker engine; other installations' containers are not looked at.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { startDaemon } from "./daemon.mjs";
import { approve, codeOf, runSlow, TRIAL_LIMITS, writeSlowPack } from "./slow-pack.mjs";

const exec = promisify(execFile);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    runs: { type: "string", default: "20" },
    packs: { type: "string", default: "3" },
  },
});
const rounds = Number(values.rounds);
const runs = Number(values.runs);
const ids = Array.from({ length: Number(values.packs) }, (_, index) => `trial_kill_${index}`);

/** Block seconds and the moment of the kill are drawn from these. */
const SECONDS = [0.2, 2];
const KILL_AFTER_MS = [300, 5_000];
const between = ([least, most]) => least + Math.random() * (most - least);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const wrong = [];
const total = { completed: 0, lost: 0, other: 0, swept: 0, entries: 0, startMs: [] };

async function containersOf(home) {
  const installation = readFileSync(join(home, "user_data/settings/installation"), "utf8").trim();
  const { stdout } = await exec("docker", ["ps", "-aq", "--no-trunc", "--filter", `label=rumi.installation=${installation}`]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Keeps the runs going until the daemon is gone. */
function load(daemon, state) {
  return Promise.all(
    Array.from({ length: runs }, async (_, lane) => {
      while (!state.killed) {
        const answer = await runSlow(daemon, ids[lane % ids.length], between(SECONDS)).catch(() => null);
        if (answer === null) {
          total.lost += 1;
          if (!state.killed) wrong.push(`round ${state.round}: the daemon was gone before it was killed`);
          return;
        }
        const code = codeOf(answer);
        if (code === null) total.completed += 1;
        else {
          total.other += 1;
          wrong.push(`round ${state.round}: a run ended ${code}`);
        }
      }
    }),
  );
}

/** What must hold right after a start; `before`: containers that the dead daemon left. */
async function inspect(daemon, home, round, before) {
  const now = await containersOf(home);
  const left = now.filter((container) => before.includes(container));
  if (left.length > 0) wrong.push(`round ${round}: ${left.length} of ${before.length} containers of before are left`);
  const listed = (await daemon.ask("GET", "/api/containers")).body.data.instances.length;
  if (now.length > listed) wrong.push(`round ${round}: ${now.length} containers are there, the daemon lists ${listed}`);
  const verified = await daemon.ask("POST", "/api/audit/verify", {});
  if (verified.body.data?.ok !== true) wrong.push(`round ${round}: the audit log is not whole: ${JSON.stringify(verified.body)}`);
  else total.entries = verified.body.data.entries;
  const packs = (await daemon.ask("GET", "/api/packs")).body.data.packs;
  for (const id of ids) {
    const status = packs.find((pack) => pack.pack_id === id)?.status;
    if (status !== "approved") wrong.push(`round ${round}: ${id} is ${status}`);
    const code = codeOf(await runSlow(daemon, id, 0));
    if (code !== null) wrong.push(`round ${round}: a run of ${id} ended ${code}`);
  }
}

const home = mkdtempSync(join(tmpdir(), "rumi-kill-"));
let daemon = null;
try {
  for (const id of ids) writeSlowPack(home, id, "a");
  daemon = await startDaemon(home, TRIAL_LIMITS);
  for (const id of ids) await approve(daemon, id);
  for (let round = 1; round <= rounds; round++) {
    const state = { killed: false, round };
    const lanes = load(daemon, state);
    await wait(between(KILL_AFTER_MS));
    state.killed = true;
    await daemon.stop("SIGKILL");
    await lanes;
    const before = await containersOf(home);
    total.swept += before.length;
    const start = performance.now();
    daemon = await startDaemon(home, TRIAL_LIMITS);
    total.startMs.push(Math.round(performance.now() - start));
    await inspect(daemon, home, round, before);
  }
} catch (error) {
  wrong.push(String(error));
} finally {
  await daemon?.stop();
}
const left = await containersOf(home);
if (left.length > 0) wrong.push(`${left.length} containers are left after the last stop`);
rmSync(home, { recursive: true, force: true });

console.log(`${rounds} rounds, ${ids.length} packs, ${runs} runs at any time, SIGKILL at a random moment`);
console.log(`runs: ${total.completed} completed, ${total.lost} cut off by the kill, ${total.other} otherwise`);
console.log(`containers left by kills and swept: ${total.swept}; audit entries at the end: ${total.entries}, whole each time`);
console.log(`start after a kill: ${Math.min(...total.startMs)} to ${Math.max(...total.startMs)} ms until /health`);
for (const line of wrong) console.error(line);
console.log(wrong.length === 0 ? "holds" : `FAILED: ${wrong.length}`);
process.exitCode = wrong.length === 0 ? 0 : 1;

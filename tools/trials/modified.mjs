// How long after one changed byte does an approved pack still run?
//
//   node tools/trials/modified.mjs [--edits 30]
//
// Starts a daemon of its own in a temporary home and approves a pack. Then, again and again: a slow call is under way, one
// byte of the block is written over, and the time is taken until a run is refused and the list of packs says `modified`.
// No answer may ever tell of the new byte, and the slow call ends with the old one or `cancelled`. Then the new bytes are
// approved, and the next edit follows. Prints figures; exits 1 when a refusal took over a second or a new byte ran.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startDaemon } from "./daemon.mjs";
import { approve, blockSource, codeOf, runSlow, TRIAL_LIMITS, writeSlowPack } from "./slow-pack.mjs";

/** Longest time from the edit to the refusal that is allowed. Source: the threat model, "within a second". */
const LIMIT_MS = 1_000;
/** After this long an edit counts as never seen. */
const GIVE_UP_MS = 15_000;
const POLL_MS = 10;

const { values } = parseArgs({ options: { edits: { type: "string", default: "30" } } });
const edits = Number(values.edits);
const MARKS = "abcdefghijklmnopqrstuvwxyz0123456789";
const id = "trial_modified";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wrong = [];
const times = { refused: [], status: [], both: [] };
const count = { completed: 0, cancelled: 0, refused: 0 };
const codes = new Map();

/** What an answer may say while only `mark` was ever approved. */
function judge(answer, mark, what) {
  const code = codeOf(answer);
  if (code !== null) return code;
  const said = answer.body.data.result.answer;
  if (said.mark !== mark || said.file !== mark) wrong.push(`${what} ran "${said.mark}" from "${said.file}" where "${mark}" was approved`);
  return null;
}

/** Milliseconds from `start` until `holds`; Infinity when it never did. */
async function since(start, holds) {
  while (performance.now() - start < GIVE_UP_MS) {
    if (await holds()) return performance.now() - start;
    await wait(POLL_MS);
  }
  return Number.POSITIVE_INFINITY;
}

async function oneEdit(daemon, block, round) {
  const [old, next] = [MARKS[round % MARKS.length], MARKS[(round + 1) % MARKS.length]];
  await approve(daemon, id);
  const first = judge(await runSlow(daemon, id, 0), old, "the first run");
  if (first !== null) wrong.push(`round ${round}: approved, yet a run ended ${first}`);
  const slow = runSlow(daemon, id, 0.5);
  await wait(100 + (round % 5) * 20);

  const start = performance.now();
  writeFileSync(block, blockSource(next));
  const [refused, status] = await Promise.all([
    since(start, async () => {
      const code = judge(await runSlow(daemon, id, 0), old, "a run after the edit");
      if (code !== null) codes.set(code, (codes.get(code) ?? 0) + 1);
      return code !== null && code !== "sandbox.cancelled";
    }),
    since(start, async () => {
      const answer = await daemon.ask("GET", "/api/packs");
      return answer.body.data.packs.find((pack) => pack.pack_id === id)?.status === "modified";
    }),
  ]);
  times.refused.push(refused);
  times.status.push(status);
  times.both.push(Math.max(refused, status));

  const code = judge(await slow, old, "the call under way");
  if (code === null) count.completed += 1;
  else if (code === "sandbox.cancelled") count.cancelled += 1;
  else {
    count.refused += 1;
    wrong.push(`round ${round}: the call under way ended ${code}`);
  }
  const after = judge(await runSlow(daemon, id, 0), old, "a run after the refusal");
  if (after === null) wrong.push(`round ${round}: a run passed after one was refused`);
}

function figures(name, list) {
  const sorted = list.toSorted((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)]);
  console.log(`${name.padEnd(28)} p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${at(1)} ms`);
}

const home = mkdtempSync(join(tmpdir(), "rumi-modified-"));
let daemon = null;
try {
  const block = writeSlowPack(home, id, MARKS[0]);
  daemon = await startDaemon(home, TRIAL_LIMITS);
  for (let round = 0; round < edits; round++) await oneEdit(daemon, block, round);
  console.log(`${edits} edits of one byte, each while a call ran`);
  figures("a run is refused", times.refused);
  figures('the list says "modified"', times.status);
  figures("both", times.both);
  console.log(`calls under way: ${count.completed} ended with the old bytes, ${count.cancelled} cancelled, ${count.refused} otherwise`);
  console.log(`refused with: ${[...codes].map(([code, times_]) => `${code} ${times_}`).join(", ")}`);
  const late = times.both.filter((ms) => ms > LIMIT_MS).length;
  if (late > 0) wrong.push(`${late} edits took longer than ${LIMIT_MS} ms`);
} finally {
  await daemon?.stop();
  rmSync(home, { recursive: true, force: true });
}
for (const line of wrong) console.error(line);
console.log(wrong.length === 0 ? "holds: refused within a second, old bytes only" : `FAILED: ${wrong.length}`);
process.exitCode = wrong.length === 0 ? 0 : 1;

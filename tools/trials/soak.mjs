// Does the daemon stay well under many flows at once, for long?
//
//   node tools/trials/soak.mjs [--runs 50] [--seconds 300] [--packs 2]
//
// Starts a daemon of its own in a temporary home and keeps `--runs` flows going at any time for `--seconds`: four of five of steps of
// every kind without a block, one of five with an isolated Python block; meanwhile its run history is listed, and its database is
// read from outside. No run may fail, nothing may be locked, and memory has to be flat: printed by sixths, the last may be a
// quarter and 32 MiB over the second. Prints a summary; exits 1 on any failure. `--packs 0` needs no sandbox.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startDaemon } from "./daemon.mjs";
import { approve, codeOf, runSlow, TRIAL_LIMITS, writeSlowPack } from "./slow-pack.mjs";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "50" },
    seconds: { type: "string", default: "300" },
    packs: { type: "string", default: "2" },
  },
});
const runs = Number(values.runs);
const seconds = Number(values.seconds);
const ids = Array.from({ length: Number(values.packs) }, (_, index) => `trial_soak_${index}`);

/** One lane of so many runs blocks. */
const BLOCK_LANE = 5;
const BLOCK_SECONDS = 0.1;
/** Failures that are printed. */
const MAX_SHOWN = 20;
/** What the last sixth may have more, beside a quarter. */
const SLACK_MIB = 32;
const SIXTHS = 6;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Steps of every kind that need no pack: values of some size, containers, handlers, a child flow, an event, a failure that is let go. */
const MIXED = `flow_id: soak
phases: [first, second]
inputs: {items: array}
outputs: {sum: array, copied: any, child: object, left: any, right: any, passes: any}
steps:
  - {id: text, phase: first, type: set, input: {key: text, value: "\${ctx.items} and so on"}}
  - id: each
    phase: first
    type: foreach
    items: "\${ctx.items}"
    concurrency: 4
    collect: "\${ctx.line}"
    output: sum
    steps:
      - {id: line, type: set, input: {key: line, value: "item \${ctx.item} of \${ctx.index}"}}
      - {id: look, type: handler, when: "\${ctx.item} > 5", input: {handler: "kernel:ctx.get", args: {key: line}}}
  - id: sides
    phase: first
    type: parallel
    branches:
      a: [{id: left, type: set, input: {key: left, value: 1}}]
      b: [{id: right, type: handler, input: {handler: "kernel:ctx.set", args: {key: right, value: 2}}}]
  - {id: passes, phase: second, type: repeat, max_iterations: 5, until: "\${ctx.passes} >= 3", index_as: at, steps: [{id: count, type: set, input: {key: passes, value: "\${ctx.at}"}}]}
  - {id: copy, phase: second, type: handler, input: {handler: "kernel:ctx.copy", args: {from_key: text, to_key: copied}}}
  - {id: child, phase: second, type: flow, flow: soak_child, input: {text: "\${ctx.text}"}, output: child}
  - {id: by_id, phase: second, type: handler, input: {handler: "kernel:flow.execute_by_id", args: {flow_id: soak_child, inputs: {text: x}}}}
  - {id: told, phase: second, type: handler, input: {handler: "kernel:emit", args: {event: soaked, data: "\${ctx.sum}"}}}
  - {id: choice, phase: second, type: if, if: "\${ctx.left} == 1 and not \${ctx.missing}", then: [{id: yes, type: set, input: {key: chosen, value: true}}]}
`;
const CHILD = 'flow_id: soak_child\nphases: [a]\nsteps: [{id: s, phase: a, type: set, input: {key: said, value: "${ctx.text}"}}]\n';
const ITEMS = Array.from({ length: 40 }, (_, index) => index);

const wrong = [];
const note = (text) => void (wrong.length < 10_000 && wrong.push(text));
const total = { mixed: 0, blocks: 0, listed: 0, read: 0, slowestMs: 0 };

const home = mkdtempSync(join(tmpdir(), "rumi-soak-"));
const samples = [];
let daemon = null;
try {
  const shared = join(home, "user_data", "shared", "flows");
  mkdirSync(shared, { recursive: true });
  writeFileSync(join(shared, "soak.flow.yaml"), MIXED);
  writeFileSync(join(shared, "child.flow.yaml"), CHILD);
  for (const id of ids) writeSlowPack(home, id, "a");
  // One more: the example that a fresh home brings runs once at the start.
  daemon = await startDaemon(home, { ...TRIAL_LIMITS, RUMI_MAX_CONCURRENT_FLOWS: String(runs + 1) });
  for (const id of ids) await approve(daemon, id);
  const end = performance.now() + seconds * 1000;
  const isOver = () => performance.now() > end;

  const lanes = Array.from({ length: runs }, async (_, lane) => {
    const pack = lane % BLOCK_LANE === 0 ? ids[(lane / BLOCK_LANE) % ids.length] : undefined;
    while (!isOver()) {
      const started = performance.now();
      const answer = await (
        pack === undefined ? daemon.ask("POST", "/api/flows/soak/run", { inputs: { items: ITEMS } }) : runSlow(daemon, pack, BLOCK_SECONDS)
      ).catch((error) => ({ status: 0, body: { code: String(error) } }));
      const code = codeOf(answer);
      total.slowestMs = Math.max(total.slowestMs, performance.now() - started);
      if (code !== null) note(`a run ended ${code}: ${JSON.stringify(answer.body).slice(0, 300)}`);
      else if (pack !== undefined) total.blocks += 1;
      else if (answer.body.data.result.sum?.length === ITEMS.length && answer.body.data.result.child?.said !== undefined) total.mixed += 1;
      else note(`a run gave ${JSON.stringify(answer.body.data).slice(0, 300)}`);
      if (answer.status === 0) await wait(1_000);
    }
  });
  const watching = (async () => {
    while (!isOver()) {
      samples.push(rssOf(daemon.child.pid));
      await wait(1_000);
    }
  })();
  const listing = (async () => {
    while (!isOver()) {
      const answer = await daemon.ask("GET", "/api/runs?limit=50");
      if (answer.status === 200) total.listed += 1;
      else note(`the list of runs answered ${answer.status} ${answer.body?.code}`);
      await wait(500);
    }
  })();
  const reading = (async () => {
    while (!isOver()) {
      await wait(2_000);
      try {
        const db = new DatabaseSync(join(home, "user_data", "runs", "runs.db"), { readOnly: true });
        db.prepare("SELECT count(*) FROM steps").get();
        db.close();
        total.read += 1;
      } catch (error) {
        note(`the database could not be read from outside: ${String(error)}`);
      }
    }
  })();
  await Promise.all([...lanes, watching, listing, reading]);
  if (/locked|SQLITE_BUSY/iu.test(daemon.printed())) note(`the daemon printed: ${daemon.printed().slice(-1_000)}`);
  const verified = await daemon.ask("POST", "/api/audit/verify", {});
  if (verified.body.data?.ok !== true) note(`the audit log is not whole: ${JSON.stringify(verified.body)}`);
} catch (error) {
  note(String(error));
} finally {
  const left = await daemon?.stop();
  if (left !== undefined && left.code !== 0) note(`the daemon ended with ${left.code ?? left.signal}`);
}
rmSync(home, { recursive: true, force: true });

function rssOf(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

const sixths = Array.from({ length: SIXTHS }, (_, nth) => {
  const part = samples.slice(Math.floor((nth * samples.length) / SIXTHS), Math.floor(((nth + 1) * samples.length) / SIXTHS));
  const sorted = part.toSorted((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN };
});
const [, second] = sixths;
const last = sixths.at(-1);
if (!(last.median <= second.median * 1.25 + SLACK_MIB))
  note(`memory grew from ${second.median.toFixed(0)} to ${last.median.toFixed(0)} MiB`);

console.log(`${runs} flows at any time for ${seconds} s, ${ids.length} packs`);
console.log(
  `runs: ${total.mixed} without blocks, ${total.blocks} with one; ${((total.mixed + total.blocks) / seconds).toFixed(0)} a second, the slowest took ${total.slowestMs.toFixed(0)} ms`,
);
console.log(`history listed ${total.listed} times, its database read from outside ${total.read} times`);
console.log(
  `RSS of the daemon by sixths, MiB: ${sixths.map(({ median, most }) => `${median.toFixed(0)} (most ${most.toFixed(0)})`).join(", ")}`,
);
for (const line of wrong.slice(0, MAX_SHOWN)) console.error(line);
console.log(wrong.length === 0 ? "holds" : `FAILED: ${wrong.length}`);
process.exitCode = wrong.length === 0 ? 0 : 1;

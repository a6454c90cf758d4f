import type { KernelHandler } from "@rumi/flow-engine";
import { flowText, runOf } from "../flow-runs.ts";
import { closedLoop } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";
import { flowJournal, withJournal } from "./flow-journal.ts";
import { flowLoad } from "./flow-load.ts";

const STEPS = 500;
const ITEMS = 1000;
const BLOCK_STEPS = 40;

const steps = (count: number, write: (step: number) => string): string[] => Array.from({ length: count }, (_, step) => write(step));
/** One that has its value later, as those that wait for something do. */
const later: KernelHandler = { name: "kernel:later", kind: "open", run: (args) => Promise.resolve(args["value"] ?? null) };

/** The flow engine alone, with a journal, with isolated blocks in its steps, and how it loads files. */
export async function flows(report: Report, place: Place | null, scale: number): Promise<void> {
  await engine(report, scale);
  await flowJournal(report, scale);
  await flowLoad(report, scale);
  if (place !== null) await isolated(report, place, scale);
}

async function engine(report: Report, scale: number): Promise<void> {
  const row = async (id: string, what: string, text: string, count: number): Promise<void> => {
    const { p50 } = report.add(id, what, await closedLoop(runOf(text, { handlers: [later] }, { v9: "x" }), 60 * scale, 10));
    report.figure(`${id}.rate`, `${what}: steps per second`, (count * 1000) / p50, "steps/s");
  };
  const read = (step: number): string => `"\${ctx.v${(step + 9) % 10}}"`;
  await row(
    "flow.sets",
    `flow of ${STEPS} set steps`,
    flowText(
      "sets",
      steps(STEPS, (step) => `id: s${step}, type: set, input: {key: v${step % 10}, value: ${read(step)}}`),
    ),
    STEPS,
  );
  const call = (name: string) => (step: number) =>
    `id: s${step}, type: handler, input: {handler: "kernel:${name}", args: {key: v9, value: ${read(step)}}}, output: v${step % 10}`;
  await row("flow.handlers", `flow of ${STEPS} handler steps`, flowText("handlers", steps(STEPS, call("ctx.get"))), STEPS);
  await row("flow.later", `flow of ${STEPS} handler steps that wait`, flowText("later", steps(STEPS, call("later"))), STEPS);
  const items = JSON.stringify(Array.from({ length: ITEMS }, (_, item) => item));
  const foreach = (concurrency: number, step: string): string =>
    flowText("foreach", [
      `id: all, type: foreach, items: ${items}, concurrency: ${concurrency}, collect: "\${ctx.got}", output: all, steps: [{${step}}]`,
    ]);
  await row("flow.foreach", `foreach over ${ITEMS} items`, foreach(1, 'id: s, type: set, input: {key: got, value: "${ctx.item}"}'), ITEMS);
  await row(
    "flow.foreach.16",
    `foreach over ${ITEMS} items, 16 at once, steps that wait`,
    foreach(16, 'id: s, type: handler, input: {handler: "kernel:later", args: {value: "${ctx.item}"}}, output: got'),
    ITEMS,
  );
}

async function isolated(report: Report, place: Place, scale: number): Promise<void> {
  const text = flowText(
    "blocks",
    steps(
      BLOCK_STEPS,
      (step) =>
        `id: s${step}, type: python_file_call, owner_pack: bench, file: hello.py, input: {name: World, text: "${"x".repeat(160)}"}, output: v${step % 10}`,
    ),
  );
  const instance = await place.sandbox.start(place.spec("python"));
  const blocks: Parameters<typeof runOf>[1] = {
    blocks: {
      run: async (call) => {
        const value = await place.call(instance, call.file, call.input);
        return { ok: true, value, execution_mode: "container", warnings: [], duration_ms: 0 };
      },
    },
  };
  try {
    report.add("flow.40", `flow of ${BLOCK_STEPS} isolated Python steps`, await closedLoop(runOf(text, blocks), 20 * scale, 3));
    await withJournal(async (journal) => {
      const samples = await closedLoop(runOf(text, { ...blocks, journal }), 20 * scale, 3);
      report.add("flow.40.journaled", `flow of ${BLOCK_STEPS} isolated Python steps, journaled`, samples);
    });
  } finally {
    await place.sandbox.stop(instance);
  }
}

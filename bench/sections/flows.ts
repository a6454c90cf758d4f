import { systemClock } from "@rumi/core";
import type { Digest, JsonObject } from "@rumi/core";
import { FlowRunner, FlowTable } from "@rumi/flow-engine";
import type { BlockRunner, FlowFile } from "@rumi/flow-engine";
import { closedLoop } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

const SET_STEPS = 500;
const BLOCK_STEPS = 40;

const setSteps = `flow_id: sets
phases: [main]
steps:
${Array.from({ length: SET_STEPS }, (_, step) => `  - {id: s${step}, phase: main, type: set, input: {key: v${step % 10}, value: "\${ctx.v${(step + 9) % 10}}"}}`).join("\n")}
`;

const blockSteps = `flow_id: blocks
phases: [main]
steps:
${Array.from({ length: BLOCK_STEPS }, (_, step) => `  - {id: s${step}, phase: main, type: python_file_call, owner_pack: bench, file: hello.py, input: {name: World, text: "${"x".repeat(160)}"}, output: v${step % 10}}`).join("\n")}
`;

function runner(text: string, blocks: BlockRunner): FlowRunner {
  const files: FlowFile[] = [{ text, source: { source: "shared", pack_id: null, file: "bench.flow.yaml" } }];
  const digest = `sha256:${"0".repeat(64)}` as Digest;
  const resolver = { resolve: (_pack: string, file: string) => ({ found: true, file, runtime: "python", digest }) as const };
  const table = FlowTable.compose(files, { blocks: resolver, handlers: [] });
  const [problem] = table.problems.filter(({ severity }) => severity === "error");
  if (problem !== undefined) throw new Error(JSON.stringify(problem));
  return new FlowRunner({
    table: () => table,
    blocks,
    handlers: [],
    audit: { record: () => Promise.resolve() },
    clock: systemClock,
    logger: { log: () => undefined },
  });
}

async function run(flows: FlowRunner, id: string, inputs: JsonObject = {}): Promise<void> {
  const answer = await flows.run(id, inputs, { caller: "bench", trigger: "api" });
  if (answer.state !== "completed" || answer.failed_steps.length > 0) throw new Error(JSON.stringify(answer).slice(0, 2000));
}

/** The flow engine alone, and with isolated blocks in its steps. */
export async function flows(report: Report, place: Place | null, scale: number): Promise<void> {
  const none: BlockRunner = { run: () => Promise.reject(new Error("no block here")) };
  const sets = runner(setSteps, none);
  const samples = report.add(
    "flow.sets",
    `flow of ${SET_STEPS} set steps`,
    await closedLoop(() => run(sets, "sets", { v9: "x" }), 60 * scale, 10),
  );
  report.figure("flow.steps", "flow-engine steps per second, without blocks", SET_STEPS * (samples.perSecond ?? Number.NaN), "steps/s");
  if (place === null) return;
  const instance = await place.sandbox.start(place.spec("python"));
  try {
    const isolated = runner(blockSteps, {
      run: async (call) => {
        const value = await place.call(instance, call.file, call.input);
        return { ok: true, value, execution_mode: "container", warnings: [], duration_ms: 0 };
      },
    });
    report.add("flow.40", `flow of ${BLOCK_STEPS} isolated Python steps`, await closedLoop(() => run(isolated, "blocks"), 20 * scale, 3));
  } finally {
    await place.sandbox.stop(instance);
  }
}

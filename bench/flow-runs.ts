import { systemClock } from "@rumi/core";
import type { Digest, JsonObject } from "@rumi/core";
import { contextHandlers, FlowRunner, FlowTable } from "@rumi/flow-engine";
import type { BlockRunner, FlowFile, KernelHandler, RunJournal } from "@rumi/flow-engine";
import type { Ask } from "./measure.ts";

/** What a measured flow runs with beside its text. */
export interface FlowParts {
  readonly blocks?: BlockRunner;
  readonly handlers?: readonly KernelHandler[];
  readonly journal?: RunJournal;
}

const NO_BLOCKS: BlockRunner = { run: () => Promise.reject(new Error("no block here")) };
const DIGEST = `sha256:${"0".repeat(64)}` as Digest;

/** A flow of one phase. */
export function flowText(id: string, steps: readonly string[]): string {
  return `flow_id: ${id}\nphases: [main]\nsteps:\n${steps.map((step) => `  - {phase: main, ${step}}`).join("\n")}\n`;
}

/** Runs the flow of `text` once each time it is asked. Anything but a clean end is an error of the measurement. */
export function runOf(text: string, parts: FlowParts = {}, inputs: JsonObject = {}): Ask {
  const files: FlowFile[] = [{ text, source: { source: "shared", pack_id: null, file: "bench.flow.yaml" } }];
  const handlers = [...contextHandlers(), ...(parts.handlers ?? [])];
  const blocks = { resolve: (_pack: string, file: string) => ({ found: true, file, runtime: "python", digest: DIGEST }) as const };
  const table = FlowTable.compose(files, { blocks, handlers });
  const [problem] = table.problems.filter(({ severity }) => severity === "error");
  const id = table.list()[0]?.definition.flow_id;
  if (problem !== undefined || id === undefined) throw new Error(JSON.stringify(problem));
  const flows = new FlowRunner({
    table: () => table,
    blocks: parts.blocks ?? NO_BLOCKS,
    handlers,
    audit: { record: () => Promise.resolve() },
    clock: systemClock,
    logger: { log: () => undefined },
    ...(parts.journal === undefined ? {} : { journal: parts.journal }),
  });
  return async () => {
    const answer = await flows.run(id, inputs, { caller: "bench", trigger: "api" });
    if (answer.state !== "completed" || answer.failed_steps.length > 0) throw new Error(JSON.stringify(answer).slice(0, 2000));
  };
}

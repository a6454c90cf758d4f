import type { PackId } from "@rumi/core";
import { contextHandlers, FlowTable, ParsedFiles } from "@rumi/flow-engine";
import type { FlowFile, FlowSource } from "@rumi/flow-engine";
import { parse } from "yaml";
import { summarize } from "../measure.ts";
import type { Report } from "../report.ts";

const FLOWS = 1000;
const MODIFIERS = 500;
const PACKS = 10;

function sourceOf(index: number, file: string): FlowSource {
  return { source: "pack", pack_id: `p${index % PACKS}` as PackId, file };
}

/** Eight steps each, of about a kilobyte. */
const flowFiles: readonly FlowFile[] = Array.from({ length: FLOWS }, (_, at) => ({
  source: sourceOf(at, `flows/f${at}.flow.yaml`),
  text: `flow_id: p${at % PACKS}.f${at}
description: flow ${at}
inputs: {name: string}
phases: [prepare, main, finish]
steps:
${Array.from({ length: 8 }, (_each, step) => `  - id: s${step}\n    phase: ${["prepare", "main", "finish"][step % 3]}\n    priority: ${step * 10}\n    type: set\n    when: "\${ctx.name} != null"\n    input: {key: v${step}, value: "Hi \${ctx.name}, \${ctx.v${step}}"}`).join("\n")}
outputs: {v1: string}
`,
}));

/** One of ten a pattern over the hundred flows of its pack, the others for one flow. */
const modifierFiles: readonly FlowFile[] = Array.from({ length: MODIFIERS }, (_, at) => ({
  source: sourceOf(at, `flows/modifiers/m${at}.modifier.yaml`),
  text: `modifier_id: m${at}
target_flow_id: ${at % 10 === 9 ? `"p${at % PACKS}.f*"` : `p${at % PACKS}.f${at}`}
action: ${["inject_before", "inject_after", "append"][at % 3]}
${at % 3 === 2 ? "" : "target_step_id: s1\n"}step: {id: extra_${at}, type: set, input: {key: extra_${at}, value: 1}}
`,
}));

const options = {
  blocks: { resolve: () => ({ found: false, missing: "pack", message: "" }) as const },
  handlers: contextHandlers(),
  surroundings: {
    rights: { mayReachWide: () => true, consentedOverwrites: () => new Set<string>() },
    facts: { hasInterface: () => true, hasCapability: () => true, resolve: (_namespace: string, token: string) => token },
  },
};

async function load(parsed: ParsedFiles): Promise<void> {
  await parsed.prepare(flowFiles, modifierFiles);
  const table = FlowTable.compose(flowFiles, { ...options, modifiers: modifierFiles, parsed });
  const applied = table.modifiers.filter((record) => record.applied).length;
  if (table.list().length !== FLOWS || applied < MODIFIERS) throw new Error(`${table.list().length} flows, ${applied} applied`);
}

/** A load of many files: the first, one after a change of nothing, and the time the YAML library alone needs for their texts. */
export async function flowLoad(report: Report, scale: number): Promise<void> {
  const times = { first: [] as number[], again: [] as number[], bare: [] as number[] };
  const note = async (into: number[], work: () => unknown): Promise<void> => {
    const started = performance.now();
    await work();
    into.push(performance.now() - started);
  };
  for (let nth = 0; nth < 8 * scale; nth += 1) {
    const parsed = new ParsedFiles({ handlers: options.handlers });
    await note(times.first, () => load(parsed));
    await note(times.again, () => load(parsed));
    await note(times.bare, () => {
      for (const { text } of [...flowFiles, ...modifierFiles]) parse(text);
    });
  }
  const what = `${FLOWS} flow files and ${MODIFIERS} modifiers`;
  report.add("flow.load", `load of ${what}`, summarize(times.first, null));
  report.add("flow.load.again", `load of ${what}, nothing changed`, summarize(times.again, null));
  report.add("flow.load.bare", `parse of their texts by the YAML library alone`, summarize(times.bare, null));
}

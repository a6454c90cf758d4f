// A pack for trials: one flow of its own, whose one Python block sleeps as long as it is told and says which bytes it is.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The block's source; `mark` is one character, so two marks differ in one byte. */
export const blockSource = (mark) => `import time
MARK = "${mark}"
def run(input_data, context):
    time.sleep(float(input_data["seconds"]))
    with open(__file__, encoding="utf-8") as source:
        return {"mark": MARK, "file": source.read().split('"')[1]}
`;

/** Writes the pack into the home's `ecosystem/`; answers the path of its block. */
export function writeSlowPack(home, id, mark) {
  const folder = join(home, "ecosystem", id);
  mkdirSync(join(folder, "blocks"), { recursive: true });
  mkdirSync(join(folder, "flows"), { recursive: true });
  writeFileSync(join(folder, "ecosystem.json"), JSON.stringify({ pack_id: id, pack_identity: `local:${id}`, version: "1.0.0" }));
  writeFileSync(join(folder, "blocks", "slow.py"), blockSource(mark));
  writeFileSync(
    join(folder, "flows", "slow.flow.yaml"),
    `flow_id: ${id}.slow\ninputs:\n  seconds: number\noutputs:\n  answer: object\nphases: [main]\nsteps:\n  - id: slow\n    phase: main\n    type: file_call\n    owner_pack: ${id}\n    file: blocks/slow.py\n    input:\n      seconds: "\${ctx.seconds}"\n    output: answer\n`,
  );
  return join(folder, "blocks", "slow.py");
}

/** Limits that a trial's own traffic does not reach. */
export const TRIAL_LIMITS = {
  RUMI_MAX_CONCURRENT_FLOWS: "64",
  RUMI_API_RATE_LIMIT: "10000000",
  RUMI_API_ADDRESS_RATE_LIMIT: "10000000",
};

/** Approves what lies in the pack's folder now. @throws Error when it is refused */
export async function approve(daemon, id) {
  const answer = await daemon.ask("POST", `/api/packs/${id}/approve`, {});
  if (answer.status !== 200) throw new Error(`approve ${id}: ${JSON.stringify(answer.body)}`);
}

/** Runs the pack's flow; answers the whole HTTP answer. */
export const runSlow = (daemon, id, seconds) => daemon.ask("POST", `/api/flows/${id}.slow/run`, { inputs: { seconds } });

/** The code a run was refused with, or its step failed with; null when every step was well. */
export function codeOf(answer) {
  const run = answer.body.data;
  const failed = run?.failed_steps?.[0]?.code;
  if (failed !== undefined) return failed;
  return answer.status === 200 && run.state === "completed" ? null : (answer.body.code ?? run?.code ?? String(answer.status));
}

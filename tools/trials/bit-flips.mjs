// Random bit flips in a pack's live files against a real daemon: none may ever run.
//
//   node tools/trials/bit-flips.mjs [--flips 10000] [--seed 1]
//
// One approved pack of several files answers a fixed text. Each round flips one random bit of one random file under
// `ecosystem/`, asks for a run at once and later, and takes the answer: either the approved bytes' answer or a refusal.
// Every 250 rounds the files are put right and the pack is approved again. Exits 1 if anything else was ever answered.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { startDaemon } from "./daemon.mjs";

const { values } = parseArgs({ options: { flips: { type: "string", default: "10000" }, seed: { type: "string", default: "1" } } });
const flips = Number(values.flips);
let state = Number(values.seed) >>> 0;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const files = {
  "backend/ecosystem.json": JSON.stringify({ pack_id: "flip_pack", pack_identity: "local:flip_pack", version: "1.0.0" }),
  "backend/blocks/answer.py": 'from words import WORD\n\ndef run(input_data):\n    return {"word": WORD, "n": input_data["n"]}\n',
  "backend/words.py": 'WORD = "approved"\n',
  "backend/flows/answer.flow.yaml":
    'flow_id: flip_pack.answer\nphases: [main]\nsteps:\n  - id: answer\n    phase: main\n    type: python_file_call\n    file: blocks/answer.py\n    input:\n      n: "${ctx.n}"\n    output: answer\n',
  "README.txt": "nothing runs from here\n".repeat(20),
};
const home = mkdtempSync(join(tmpdir(), "rumi-flips-"));
const live = (path) => join(home, "ecosystem", "flip_pack", path);
const restore = () => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(live(path)), { recursive: true });
    writeFileSync(live(path), text);
  }
};

let daemon;
const answers = new Map();
let foreign = 0;
try {
  restore();
  daemon = await startDaemon(home, { RUMI_API_RATE_LIMIT: "10000000" });
  const approve = async () => {
    const answer = await daemon.ask("POST", "/api/packs/flip_pack/approve", {});
    if (answer.status !== 200) throw new Error(`approve: ${JSON.stringify(answer.body)}`);
  };
  await approve();
  const paths = Object.keys(files);
  for (let round = 1; round <= flips; round++) {
    const path = paths[random(paths.length)];
    const bytes = readFileSync(live(path));
    bytes[random(bytes.length)] ^= 1 << random(8);
    writeFileSync(live(path), bytes);
    const answer = await daemon.ask("POST", "/api/flows/flip_pack.answer/run", { inputs: { n: round } });
    const key = `${answer.status} ${answer.body.code ?? answer.body.data.state}`;
    answers.set(key, (answers.get(key) ?? 0) + 1);
    const got = answer.body.data?.result?.answer;
    if (answer.status === 200 && got !== null && got !== undefined && (got.word !== "approved" || got.n !== round)) {
      foreign++;
      console.log("FOREIGN BYTES RAN", { path, got });
    }
    if (round % 250 === 0) {
      restore();
      await approve();
    }
  }
  console.log(`${flips} flips; answers: ${[...answers].map(([key, count]) => `${key} x${count}`).join(", ")}; foreign answers: ${foreign}`);
} finally {
  await daemon?.stop();
  rmSync(home, { recursive: true, force: true });
}
process.exitCode = foreign === 0 ? 0 : 1;

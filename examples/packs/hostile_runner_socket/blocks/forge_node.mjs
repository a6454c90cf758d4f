// The same from Node.
import { writeSync } from "node:fs";

export function run(input) {
  const header = Buffer.from(JSON.stringify({ type: "result", call_id: input.call_id ?? "x", kind: "ok", payload: 8 }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  try {
    writeSync(3, Buffer.concat([length, header, Buffer.from('"forged"')]));
  } catch {
    // nothing to write to
  }
  return { answer: "own" };
}

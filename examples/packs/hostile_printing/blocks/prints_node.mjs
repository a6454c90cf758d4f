// The same from Node.
import { writeSync } from "node:fs";

export function run() {
  const forged = Buffer.from('{"type":"result","call_id":"x","kind":"ok"}');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(forged.length);
  console.log('{"value": "forged"}');
  console.error("forged");
  writeSync(1, Buffer.concat([length, forged]));
  process.stdout.write("no line end");
  return { answer: 42 };
}

import { randomBytes } from "node:crypto";
import type { RunId } from "./ids.ts";
import type { Clock, Random } from "./ports.ts";

/** Random bytes of this machine. */
export const systemRandom: Random = {
  hex: (count) => randomBytes(count).toString("hex"),
};

/** A new run id: `run_` and a UUIDv7 (48 bits of time, 74 random bits), so ids sort by their start. */
export function createRunId(clock: Clock, random: Random = systemRandom): RunId {
  const time = clock.now().toString(16).padStart(12, "0").slice(-12);
  const noise = random.hex(10);
  const variant = ((Number.parseInt(noise.slice(3, 4), 16) & 0x3) | 0x8).toString(16);
  return `run_${time.slice(0, 8)}-${time.slice(8)}-7${noise.slice(0, 3)}-${variant}${noise.slice(4, 7)}-${noise.slice(7, 19)}` as RunId;
}

import { readFile } from "node:fs/promises";
import type { Instance, Runtime } from "@rumi/sandbox";
import { rest } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

const CONTAINERS = 8;
const SETTLE_MS = 2000;

/** What one idle warm container costs the machine, everything in: processes, the engine's shim, page tables. */
export async function memory(report: Report, place: Place): Promise<void> {
  for (const [id, what, runtime, reuse, file] of [
    ["memory.python", "memory per idle warm container, Python", "python", false, "hello.py"],
    ["memory.python.reuse", "memory per idle warm container, Python reuse", "python", true, "hello.py"],
    ["memory.node", "memory per idle warm container, Node single-use", "node", false, "hello.mjs"],
    ["memory.node.reuse", "memory per idle warm container, Node reuse", "node", true, "hello.mjs"],
  ] as const) {
    await place.sandbox.stop(await warm(place, runtime, reuse, file));
    await rest(SETTLE_MS);
    const before = await availableMb();
    const instances: Instance[] = [];
    try {
      for (let made = 0; made < CONTAINERS; made++) instances.push(await warm(place, runtime, reuse, file));
      await rest(SETTLE_MS);
      report.figure(id, `${what} (mean of ${CONTAINERS})`, (before - (await availableMb())) / CONTAINERS, "MB");
    } finally {
      await Promise.all(instances.map((instance) => place.sandbox.stop(instance)));
    }
  }
}

async function warm(place: Place, runtime: Runtime, reuse: boolean, file: string): Promise<Instance> {
  const instance = await place.sandbox.start(place.spec(runtime, { reuse, slots: reuse ? 1 : 4 }));
  await place.call(instance, file);
  return instance;
}

async function availableMb(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/MemAvailable:\s+(\d+)/.exec(text)?.[1] ?? Number.NaN) / 1024;
}

import { readFile } from "node:fs/promises";
import { MIB } from "@rumi/core";
import type { Instance, Runtime } from "@rumi/sandbox";
import { rest } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

const CONTAINERS = 8;
const SETTLE_MS = 2000;
const DOCKER = { prefix: "", name: "container" } as const;

/** What one idle warm instance costs the machine, everything in: processes, the engine's shim, page tables. */
export async function memory(report: Report, place: Place, of: { readonly prefix: string; readonly name: string } = DOCKER): Promise<void> {
  for (const [id, what, runtime, reuse, file] of [
    ["memory.python", "Python", "python", false, "hello.py"],
    ["memory.python.reuse", "Python reuse", "python", true, "hello.py"],
    ["memory.node", "Node single-use", "node", false, "hello.mjs"],
    ["memory.node.reuse", "Node reuse", "node", true, "hello.mjs"],
  ] as const) {
    await place.sandbox.stop(await warm(place, runtime, reuse, file));
    await rest(SETTLE_MS);
    const before = await availableMb();
    const instances: Instance[] = [];
    try {
      for (let made = 0; made < CONTAINERS; made++) instances.push(await warm(place, runtime, reuse, file));
      await rest(SETTLE_MS);
      const groups = (await place.sandbox.list()).flatMap(({ memory_bytes: bytes }) => (bytes === null ? [] : [bytes / MIB]));
      const counted = groups.reduce((sum, each) => sum + each, 0) / groups.length;
      report.figure(`${of.prefix}${id}.group`, `memory in the control group of a warm ${of.name}, ${what}`, counted, "MB");
      report.figure(
        `${of.prefix}${id}`,
        `memory per idle warm ${of.name}, ${what} (mean of ${CONTAINERS})`,
        (before - (await availableMb())) / CONTAINERS,
        "MB",
      );
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

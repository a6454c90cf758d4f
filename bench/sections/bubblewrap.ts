import { closedLoop, crowd, paced, withSlots } from "../measure.ts";
import { Place } from "../place.ts";
import type { Report } from "../report.ts";
import { measured } from "./cold.ts";
import { memory } from "./memory.ts";

const KINDS = [
  { runtime: "python", what: "Python", file: "hello.py", closed: 800, paced: 200, restMs: 10, crowd: 3000 },
  { runtime: "node", what: "Node", file: "hello.mjs", closed: 120, paced: 50, restMs: 100, crowd: 200 },
] as const;
const COLD = 20;
const SLOTS = 4;

/** The rows of Docker's sections for the sandbox that needs no engine. */
export async function bubblewrap(report: Report, scale: number): Promise<void> {
  await using place = await Place.open("bubblewrap");
  const probe = await place.sandbox.probe();
  if (!probe.available) {
    report.note(`bubblewrap was not measured: ${probe.warnings.join("; ")}`);
    return;
  }
  report.note(`bubblewrap ${probe.engine?.version ?? "?"}, limits by ${probe.engine?.api ?? "?"}`);
  for (const { runtime, what, file, restMs, ...counts } of KINDS) {
    const begin = async (): Promise<() => Promise<void>> => {
      const fresh = await place.sandbox.start(place.spec(runtime));
      await place.call(fresh, file);
      return () => place.sandbox.stop(fresh);
    };
    // The root is unpacked once per home, before the first start.
    const before = performance.now();
    const end = await begin();
    report.figure(
      `bubblewrap.unpack.${runtime}`,
      `bubblewrap, first start of a home (root unpacked), ${what}`,
      performance.now() - before,
      "ms",
    );
    await end();
    report.add(`bubblewrap.cold.${runtime}`, `bubblewrap, cold start to first answer, ${what}`, await measured(COLD * scale, begin));
    const instance = await place.sandbox.start(place.spec(runtime));
    try {
      const ask = (): Promise<unknown> => place.call(instance, file);
      report.add(`bubblewrap.${runtime}`, `bubblewrap, ${what}, single-use`, await closedLoop(ask, counts.closed * scale, 20));
      report.add(`bubblewrap.${runtime}.paced`, `bubblewrap, ${what}, paced ${restMs} ms`, await paced(ask, counts.paced * scale, restMs));
      const crowded = await crowd(withSlots(ask, SLOTS), counts.crowd * scale, 8);
      report.add(`bubblewrap.${runtime}.c8`, `bubblewrap, ${what}, 8 callers`, crowded);
    } finally {
      await place.sandbox.stop(instance);
    }
  }
  await memory(report, place, { prefix: "bubblewrap.", name: "bubblewrap sandbox" });
}

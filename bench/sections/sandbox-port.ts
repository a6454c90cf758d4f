import { closedLoop, crowd, paced, withSlots } from "../measure.ts";
import type { Ask } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

const KINDS = [
  {
    id: "python",
    what: "Python, single-use",
    runtime: "python",
    file: "hello.py",
    reuse: false,
    closed: 800,
    paced: 200,
    restMs: 10,
    crowd: 3000,
  },
  {
    id: "python.reuse",
    what: "Python, reuse",
    runtime: "python",
    file: "hello.py",
    reuse: true,
    closed: 4000,
    paced: 100,
    restMs: 10,
    crowd: 6000,
  },
  {
    id: "node",
    what: "Node, single-use",
    runtime: "node",
    file: "hello.mjs",
    reuse: false,
    closed: 120,
    paced: 50,
    restMs: 100,
    crowd: 200,
  },
  {
    id: "node.reuse",
    what: "Node, reuse",
    runtime: "node",
    file: "hello.mjs",
    reuse: true,
    closed: 6000,
    paced: 100,
    restMs: 10,
    crowd: 10_000,
  },
] as const;

/** Isolated calls at the `Sandbox` port, on a warm instance. */
export async function sandboxPort(report: Report, place: Place, scale: number): Promise<void> {
  for (const kind of KINDS) {
    const slots = kind.reuse ? 1 : 4;
    const instance = await place.sandbox.start(place.spec(kind.runtime, { reuse: kind.reuse, slots }));
    try {
      const ask: Ask = () => place.call(instance, kind.file);
      report.add(kind.id, kind.what, await closedLoop(ask, kind.closed * scale, 20));
      report.add(`${kind.id}.paced`, `${kind.what}, paced ${kind.restMs} ms`, await paced(ask, kind.paced * scale, kind.restMs));
      report.add(`${kind.id}.c8`, `${kind.what}, 8 callers`, await crowd(withSlots(ask, slots), kind.crowd * scale, 8));
    } finally {
      await place.sandbox.stop(instance);
    }
  }
  const instance = await place.sandbox.start(place.spec("python"));
  try {
    const text = "y".repeat(1 << 20);
    report.add("python.mib", "Python, 1 MiB in and out", await closedLoop(() => place.call(instance, "back.py", { text }), 60 * scale, 5));
  } finally {
    await place.sandbox.stop(instance);
  }
}

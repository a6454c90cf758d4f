import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@rumi/core";
import type { AuditSink, JsonObject } from "@rumi/core";
import { InstanceGateway } from "@rumi/pack-runtime";
import { rest, summarize } from "../measure.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

/** Uses of a host power in one call. */
const USES = 100;

const KINDS = [
  { id: "python", what: "Python, single-use", runtime: "python", file: "rights.py", reuse: false, calls: 60, restMs: 0 },
  { id: "python.reuse", what: "Python, reuse", runtime: "python", file: "rights.py", reuse: true, calls: 60, restMs: 0 },
  { id: "node", what: "Node, single-use", runtime: "node", file: "rights.mjs", reuse: false, calls: 20, restMs: 150 },
  { id: "node.reuse", what: "Node, reuse", runtime: "node", file: "rights.mjs", reuse: true, calls: 60, restMs: 0 },
] as const;

const audit: AuditSink = { record: () => Promise.resolve() };

/** What a block pays for a use of a host power: the way from inside the container to the daemon and back, without what the power does. */
export async function rights(report: Report, place: Place, scale: number): Promise<void> {
  const sockets = join(place.folder, "s");
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  const answer: JsonObject = { success: true, output: { success: true }, error: null, error_type: null, latency_ms: 0 };
  await using gateway = new InstanceGateway(
    {
      capability: { handle: () => Promise.resolve(answer) },
      egress: { serve: (connection) => connection.destroy() },
      audit,
      clock: systemClock,
      logger: { log: () => undefined },
    },
    {
      capability: { base: join(sockets, "capability") },
      egress: { base: join(sockets, "egress") },
      requests: { maxPerSecond: Number.POSITIVE_INFINITY },
    },
  );
  for (const { id, what, runtime, file, reuse, calls, restMs } of KINDS) {
    const spec = place.spec(runtime, { reuse, slots: reuse ? 1 : 4 });
    const open = await gateway.open({ ...spec, root: place.folder }, { id: spec.instance_id, mode: "container" });
    const instance = await place.sandbox.start({ ...spec, sockets: open.sockets });
    try {
      const first: number[] = [];
      const further: number[] = [];
      for (let call = 0; call < calls * scale; call++) {
        // Between the calls of a single-use Node instance its next process starts.
        if (restMs > 0) await rest(restMs);
        const [one = Number.NaN, ...others] = (await place.call(instance, file, { calls: USES })) as number[];
        first.push(one);
        further.push(...others);
      }
      report.add(`rights.${id}.first`, `${what}, first use of a power in a call`, summarize(first, null));
      report.add(`rights.${id}`, `${what}, each further one`, summarize(further, null));
    } finally {
      await place.sandbox.stop(instance);
      await open[Symbol.asyncDispose]();
    }
  }
}

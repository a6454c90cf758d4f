import { randomBytes } from "node:crypto";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "@rumi/core";
import { createJobBody } from "@rumi/sandbox-docker";
import { docker, engine, IMAGES, STRICT_FLAGS } from "../engine.ts";
import { closedLoop } from "../measure.ts";
import { PROGRAMS } from "../place.ts";
import type { Place } from "../place.ts";
import type { Report } from "../report.ts";

const COMMANDS = {
  python: { file: "hello.py", run: ["python3", "/app/hello.py"], wait: ["python3", "-I", "-S", "-c", "import time; time.sleep(600)"] },
  node: { file: "hello.mjs", run: ["node", "/app/hello.mjs"], wait: ["node", "-e", "setTimeout(() => {}, 600000)"] },
} as const;

/** From nothing to the first answer, beside what the engine itself needs, and beside a container or an exec for each call. */
export async function cold(report: Report, place: Place, scale: number): Promise<void> {
  const app = join(place.folder, "app");
  await mkdir(app);
  for (const { file } of Object.values(COMMANDS)) await copyFile(join(PROGRAMS, file), join(app, file));
  for (const runtime of ["python", "node"] as const) {
    const { file, run, wait } = COMMANDS[runtime];
    report.add(
      `cold.${runtime}`,
      `cold start to first answer, ${runtime}`,
      await measured(8 * scale, async () => {
        const instance = await place.sandbox.start(place.spec(runtime));
        await place.call(instance, file);
        return () => place.sandbox.stop(instance);
      }),
    );
    report.add(
      `engine.${runtime}`,
      `the engine's own create + start, ${runtime}`,
      await measured(8 * scale, async () => {
        const id = await createAndStart(place, runtime, wait);
        return () => engine("DELETE", `/containers/${id}?force=1`);
      }),
    );
    const mount = `-v=${app}:/app:ro`;
    report.add(
      `run.${runtime}`,
      `docker run, ${runtime}`,
      await closedLoop(() => docker(["run", "--rm", ...STRICT_FLAGS, mount, IMAGES[runtime], ...run]), 10 * scale, 2),
    );
    const name = `rumi-bench-exec-${process.pid}-${runtime}`;
    await docker(["run", "-d", "--rm", `--name=${name}`, ...STRICT_FLAGS, mount, IMAGES[runtime], ...wait]);
    try {
      report.add(`exec.${runtime}`, `docker exec, ${runtime}`, await closedLoop(() => docker(["exec", name, ...run]), 15 * scale, 2));
    } finally {
      await docker(["rm", "-f", name]).catch(() => undefined);
    }
  }
}

/** Times `start`; what it answers cleans up and is not timed. */
export async function measured(count: number, start: () => Promise<() => Promise<unknown>>): ReturnType<typeof closedLoop> {
  let cleanUp: (() => Promise<unknown>) | null = null;
  const times: number[] = [];
  for (let turn = 0; turn <= count; turn++) {
    const started = performance.now();
    cleanUp = await start();
    const took = performance.now() - started;
    if (turn > 0) times.push(took);
    await cleanUp();
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { count: times.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), perSecond: 1000 / at(0.5) };
}

async function createAndStart(place: Place, runtime: "python" | "node", argv: readonly string[]): Promise<string> {
  const image = (await engine("GET", `/images/${IMAGES[runtime]}/json`)) as { Id: string };
  const body = createJobBody(
    {
      job_id: randomBytes(16).toString("hex"),
      image: image.Id,
      argv,
      mounts: [],
      env: {},
      working_dir: "/",
      limits: { memory_bytes: 256 * MIB, cpus: 1, pids: 128, tmp_bytes: 64 * MIB },
      timeout_ms: 60_000,
      max_output_bytes: 1024,
      labels: {},
    },
    { installation: place.installation, imageId: image.Id, imageEnvNames: [], socketGids: [] },
  );
  const made = (await engine("POST", "/containers/create", { ...body, AttachStdout: false, AttachStderr: false })) as { Id: string };
  await engine("POST", `/containers/${made.Id}/start`);
  return made.Id;
}

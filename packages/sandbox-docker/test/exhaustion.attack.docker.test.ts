import { contractFiles, inScene } from "@rumi/sandbox/testing";
import { expect, test } from "vitest";
import { dockerHarness } from "./docker-harness.ts";

const HOG = {
  python:
    "import subprocess, time\ndef run(input, context):\n    held = []\n    until = time.monotonic() + 2\n    while time.monotonic() < until:\n        try:\n            held.append(subprocess.Popen(['sleep', '60']))\n        except OSError:\n            time.sleep(0.01)\n    return len(held)\n",
  node: "import { spawn } from 'node:child_process'; export const run = async () => { let held = 0; const until = Date.now() + 2000; while (Date.now() < until) { const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' }); child.on('error', () => {}); if (child.pid !== undefined) held += 1; await new Promise((done) => setTimeout(done, child.pid === undefined ? 10 : 0)); } return held; };",
} as const;

test.each(["python", "node"] as const)(
  "X41 a %s call that holds every process its instance may have does not bring the runner down",
  async (runtime) => {
    await inScene(
      () => dockerHarness(),
      async (s) => {
        const extension = runtime === "python" ? "py" : "mjs";
        const file = `blocks/hog.${extension}`;
        const instance = await s.start(runtime, { mounts: await s.pack({ ...contractFiles(), [file]: HOG[runtime] }) });
        const hog = s.run(instance, file);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const others = await Promise.all(
          Array.from({ length: 3 }, (_, n) => s.run(instance, `blocks/echo.${extension}`, n, { timeout_ms: 6_000 })),
        );
        // The pack harms its own calls only: a process that cannot have its threads ends by itself or, in Node, waits for
        // them in vain until its deadline. The runner answers for all.
        const ends = runtime === "python" ? ["ok", "crashed"] : ["ok", "crashed", "timeout"];
        for (const { kind } of others) expect(ends).toContain(kind);
        expect((await hog).kind).toBe("ok");
        // Node cannot reap what a call orphaned: such an instance asks to be removed.
        const after = await s.run(instance, `blocks/echo.${extension}`, 7);
        expect(runtime === "python" ? ["ok"] : ["ok", "instance_lost"]).toContain(after.kind);
      },
    );
  },
);

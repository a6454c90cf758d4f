import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const exec = promisify(execFile);
const SCRIPT = fileURLToPath(new URL("runsc-up.sh", import.meta.url));

test("the script that starts an engine with runsc is whole", async () => {
  await exec("bash", ["-n", SCRIPT]);
});

test.runIf(process.getuid?.() === 0)("taking down an engine that was never started takes its folder away and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "rumi-runsc-"));
  try {
    await exec(SCRIPT, ["down"], { env: { PATH: process.env["PATH"] ?? "", RUMI_RUNSC_STATE: join(folder, "state") } });
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

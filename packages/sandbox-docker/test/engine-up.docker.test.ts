import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const SCRIPT = new URL("../../../tools/engine-up.sh", import.meta.url).pathname;

test("the engine set-up finds all in place and ends with one line of JSON", async () => {
  const { stdout } = await promisify(execFile)(SCRIPT, [], { env: { ...process.env, RUMI_NO_APT: "1" } });
  const summary = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
  expect(summary).toMatchObject({ ok: true, installed: "no", started: "no", python_image: "present", node_image: "present" });
});

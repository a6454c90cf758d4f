import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome } from "./daemon-process.ts";
import { containersOf } from "./engine.ts";

const NO_ENGINE = { RUMI_ENGINE_SOCKET: "/nonexistent/docker.sock" } as const;
const NODE_BLOCK = `export function run(data) {\n  return { said: data.text, version: 1 };\n}\n`;

/** A home with one block in each language and a flow for each. */
async function twoLanguages(): Promise<TestHome> {
  const home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK, "blocks/echo.mjs": NODE_BLOCK });
  await home.addFlow("py", blockFlow("py", "alpha"));
  await home.addFlow("js", blockFlow("js", "alpha", { file: "blocks/echo.mjs" }));
  return home;
}

/** What a run answers, without what differs from run to run. */
async function answersOf(daemon: DaemonProcess): Promise<unknown[]> {
  await daemon.approve("alpha");
  const answers = [];
  for (const flow of ["py", "js"]) {
    const { data } = (await daemon.run(flow, { text: "x" })).body;
    const { state, result, failed_steps, warnings, execution_mode } = data;
    answers.push({ state, result, failed_steps, warnings, execution_mode });
  }
  return answers;
}

test("X84 auto takes Docker where its engine answers and bubblewrap where none does, with the same answers; each is told everywhere", async () => {
  await using dockerHome = await twoLanguages();
  await using bubblewrapHome = await twoLanguages();
  await using docker = await DaemonProcess.start(dockerHome);
  await using bubblewrap = await DaemonProcess.start(bubblewrapHome, NO_ENGINE);
  const answers = await answersOf(bubblewrap);
  expect(answers).toEqual(await answersOf(docker));
  expect(answers).toMatchObject([
    { state: "completed", result: { answer: { said: "x" } }, execution_mode: "container", warnings: [] },
    { state: "completed", result: { answer: { said: "x" } }, execution_mode: "container", warnings: [] },
  ]);
  for (const [daemon, adapter] of [
    [docker, "docker"],
    [bubblewrap, "bubblewrap"],
  ] as const) {
    expect(daemon.startedWith.data).toMatchObject({ sandbox: { adapter, available: true, isolation: "container", weaknesses: [] } });
    expect((await daemon.get("/api/docker/status")).body.data).toMatchObject({ available: true, required: true, adapter });
    const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=python_file_call");
    expect(entries.body.data.entries.map((entry) => entry["details"])).toMatchObject([{ adapter }, { adapter }]);
    expect((await daemon.get("/health")).body.data).toEqual({ status: "ok" });
  }
  expect(await containersOf(bubblewrapHome)).toEqual([]);
});

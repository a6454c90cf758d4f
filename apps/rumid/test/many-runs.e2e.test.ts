import { expect, test } from "vitest";
import { DaemonProcess, ECHO_BLOCK, TestHome } from "./daemon-process.ts";

/** Runs at once, and how often each caller asks again. `tools/trials/soak.mjs` does the same for minutes. */
const CALLERS = 50;
const ROUNDS = 6;

const FLOW = `flow_id: many
phases: [main]
steps:
  - { id: note, phase: main, type: set, input: { key: noted, value: "\${ctx.text}" } }
  - { id: echo, phase: main, depends_on: [note], type: python_file_call, owner_pack: alpha, file: blocks/echo.py, input: { text: "\${ctx.noted}" }, output: said }
  - { id: last, phase: main, depends_on: [echo], type: set, input: { key: last, value: "\${ctx.said.said}" } }
`;

test("fifty flows at once, again and again: every run its own answer, nothing locked, each on record, the audit whole", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("many", FLOW);
  const limits = { RUMI_MAX_CONCURRENT_FLOWS: String(CALLERS), RUMI_API_RATE_LIMIT: "100000", RUMI_API_ADDRESS_RATE_LIMIT: "100000" };
  await using daemon = await DaemonProcess.start(home, limits);
  await daemon.approve("alpha");
  const wrong: unknown[] = [];
  const caller = async (name: string): Promise<void> => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = `${name} ${round}`;
      const { status, body } = await daemon.run("many", { text });
      if (status !== 200 || body.data.state !== "completed" || body.data.result?.["last"] !== text) wrong.push({ status, body });
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, at) => caller(`caller ${at}`)));
  expect(wrong).toEqual([]);
  const seen = new Set<string>();
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const { data } = (
      await daemon.get<{ runs: { run_id: string; state: string }[]; next_cursor: string | null }>(
        `/api/runs?flow_id=many&limit=100${query}`,
      )
    ).body;
    for (const run of data.runs) if (run.state === "completed") seen.add(run.run_id);
    cursor = data.next_cursor;
  } while (cursor !== null);
  expect(seen.size).toBe(CALLERS * ROUNDS);
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
  expect(`${daemon.stdout}${daemon.stderr}`).not.toContain("is locked");
});

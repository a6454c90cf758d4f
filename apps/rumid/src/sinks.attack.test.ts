import type { Digest, FlowId, JsonObject, RunId, SecretKey } from "@rumi/core";
import { SPELLINGS } from "@rumi/secrets/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test, vi } from "vitest";
import { filesWithMark, markedValues, markIn } from "../test/marked-secrets.ts";
import { loadConfig } from "./config.ts";
import { openFoundations } from "./foundations.ts";
import type { Foundations } from "./foundations.ts";
import { openState } from "./open-state.ts";
import type { OpenState } from "./open-state.ts";

/** Values of each part of the test; four parts make 10,000. */
const VALUES = 2500;
/** Live at once; the next ones take their keys. */
const BATCH = 500;
/** Values in one run of the history. */
const PER_RUN = 50;

/** What a pack or a slip of the finger makes of a value: one of many things each. */
function spoken(value: string, at: number): JsonObject {
  const spelt = SPELLINGS[at % SPELLINGS.length]?.write(value);
  const text = `<${typeof spelt === "string" ? spelt : value}>`;
  const kinds: readonly JsonObject[] = [
    { [value]: { [`in ${value}`]: [value, { text }] } },
    { text, json: JSON.stringify({ value, again: JSON.stringify([value]) }) },
    { text, long: "x".repeat((at * 37) % 1200) + value },
    { text, url: `https://denied.rumi.example/${encodeURIComponent(value)}?q=${encodeURIComponent(value)}` },
  ];
  return kinds[at % kinds.length] ?? {};
}

async function journal(state: OpenState, values: readonly string[], nth: number): Promise<void> {
  const all = [...values];
  const id = `run_${nth}` as RunId;
  const flow = "f" as FlowId;
  const failure = {
    code: "sandbox.block_error",
    error_type: "block_error",
    message: values.slice(0, 3).join(" "),
    details: { all: all.slice(3, 6) },
  };
  state.journal.begin({
    run_id: id,
    flow_id: flow,
    digest: "sha256:0" as Digest,
    trigger: "api",
    caller: "token:1",
    inputs: { all },
    daemon_inputs: {},
    timeout_ms: 1000,
    started_at: new Date().toISOString(),
    state: "running",
    active_ms: 0,
    resumes: 0,
  });
  for (const [step, value] of values.entries()) {
    state.journal.finished(id, {
      path: `s${step}`,
      step_id: `s${step}`,
      type: "file_call",
      flow_id: flow,
      status: step % 2 === 0 ? "done" : "failed",
      attempts: 1,
      value: spoken(value, step),
      writes: step % 4 === 0 ? { [value]: value } : null,
      failure: step % 2 === 0 ? null : { ...failure, message: value, details: {} },
      reason: value,
      abort: `${value} ended it`,
      ms: 1,
      finished_at: new Date().toISOString(),
      active_ms: 1,
    } as Parameters<OpenState["journal"]["finished"]>[1]);
  }
  // Some are left as a crash leaves them.
  if (nth % 5 === 0) return;
  await state.journal.ended(id, {
    state: "completed",
    code: null,
    reason: values[0] ?? null,
    result: { all },
    truncated: false,
    failed_steps: [{ step_id: "s1", step_path: "s1", attempts: 1, ...failure }],
    warnings: values.slice(0, 5),
    execution_mode: "container",
    active_ms: 1,
    finished_at: new Date().toISOString(),
  });
}

function tell({ audit, diagnostics, logger }: Foundations, value: string, at: number): Promise<void> {
  const details = spoken(value, at);
  logger.log(at % 2 === 0 ? "error" : "warn", `it broke: ${value}`, { details, error: `Error: ${value}` });
  diagnostics.report({ kind: "pack", id: `p${at}`, status: "failed", code: "pack_manifest.invalid", message: JSON.stringify(details) });
  return audit.record({
    category: "system",
    severity: "warning",
    action: "gc",
    success: false,
    owner_pack: "p",
    error: `failed with ${value}`,
    error_type: "block_error",
    rejection_reason: `refused ${value}`,
    details,
  });
}

test.each([1, 2, 3, 4])(
  "T59 T68 H62 10,000 values (part %i) through log, audit, diagnostics and run history: none shows in any of them, nor in any file",
  async () => {
    await using folder = await temporaryFolder("rumi-sinks-");
    let printed = 0;
    const leaks: string[] = [];
    const write = vi.spyOn(process.stderr, "write").mockImplementation((line) => {
      printed++;
      const spelling = markIn(Buffer.from(line as string));
      if (spelling !== null) leaks.push(`log: ${spelling}`);
      return true;
    });
    try {
      await using foundations = await openFoundations(
        loadConfig({}, { RUMI_HOME: folder.path, RUMI_LOG_LEVEL: "debug", RUMI_LOG_FORMAT: "json" }),
      );
      await using state = await openState(foundations);
      const values = markedValues(VALUES);
      // The store itself, for some; all others are live as if it had read them.
      for (const [at, value] of values.slice(0, 20).entries()) await state.secrets.set(`STORED_${at}`, value, "operator");
      let nth = 0;
      for (let from = 0; from < VALUES; from += BATCH) {
        const live = values.slice(from, from + BATCH);
        for (const [at, value] of live.entries()) foundations.live.set(`KEY_${at}` as SecretKey, value);
        await Promise.all(live.map((value, at) => tell(foundations, value, from + at)));
        for (let at = 0; at < live.length; at += PER_RUN) await journal(state, live.slice(at, at + PER_RUN), nth++);
        const last = JSON.stringify([foundations.diagnostics.parts(), state.journal.history.get(`run_${nth - 1}`)]);
        if (markIn(Buffer.from(last)) !== null) leaks.push(`shown: batch ${from}`);
      }
      // A home at any moment is what a kill leaves.
      leaks.push(...(await filesWithMark(folder.path)));
      expect(nth).toBe(VALUES / PER_RUN);
      expect(printed).toBeGreaterThanOrEqual(VALUES);
    } finally {
      write.mockRestore();
    }
    leaks.push(...(await filesWithMark(folder.path)));
    expect(leaks).toEqual([]);
  },
  120_000,
);

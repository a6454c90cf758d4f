import type { Command } from "commander";
import { packLine, packValue, safeJson } from "../escape.ts";
import { readInputs } from "../inputs.ts";
import { collect } from "../options.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { shortDigest, table } from "../table.ts";
import type { Act } from "../verb.ts";
import { addFlowWorkVerbs } from "./flow-work.ts";

/** `rumi flow ...` */
export function addFlowVerbs(program: Command, act: Act): void {
  const flow = program.command("flow").alias("flows").description("flows, shown and run");

  act(flow.command("list").alias("ls").description("the flows that could run now"), async (session) =>
    session.finish(await session.client.call("flows.list", { query: { limit: 1000 } }), ({ flows }) => {
      if (flows.length === 0) session.line(session.say("flow.none"));
      else
        for (const line of table(
          ["FLOW", "SOURCE", "PACK", "DIGEST"],
          flows.map((item) => [item.flow_id, item.source, item.pack_id ?? "-", shortDigest(item.digest)]),
        ))
          session.line(line);
    }),
  );

  act(
    flow
      .command("show <id>")
      .description("one flow, as its file says it")
      .option("--effective", "with every modifier applied and each step's origin"),
    async (session, [id = ""], options) => {
      if (options["effective"] === true) {
        return session.finish(await session.client.call("flows.effective", { params: { id } }), (data) => {
          session.line(safeJson(data, 2));
        });
      }
      return session.finish(await session.client.call("flows.show", { params: { id } }), (data) => {
        session.line(safeJson(data, 2));
      });
    },
  );

  act(
    flow
      .command("run <id>")
      .description("run a flow and print its result")
      .option("-i, --input <key=value>", "one input, JSON or text; may be repeated", collect, [])
      .option("-f, --file <file>", "inputs as a JSON object")
      .option("--timeout <seconds>", "longest time the run may take")
      .option("--async", "print the run's id and leave; for runs over five minutes")
      .option("--idempotency-key <key>", "the same key and inputs are one run"),
    async (session, [id = ""], options) => {
      const inputs = await readInputs(session, id, options["input"] as readonly string[], options["file"] as string | undefined);
      const timeout = options["timeout"] === undefined ? undefined : Number(options["timeout"]);
      if (timeout !== undefined && !Number.isFinite(timeout)) throw new UsageError(session.say("flow.bad_timeout"));
      const key = options["idempotencyKey"] as string | undefined;
      const answer = await session.client.call("flows.run", {
        params: { id },
        body: { inputs, ...(timeout === undefined ? {} : { timeout }), ...(options["async"] === true ? { async: true } : {}) },
        signal: session.world.interrupted,
        ...(key === undefined ? {} : { idempotencyKey: key }),
      });
      return session.finish(answer, (run) => {
        if (!("state" in run)) {
          session.line(run.run_id);
          return;
        }
        session.line(safeJson(run.result ?? null, 2));
        session.note(`${run.state}  ${run.execution_mode ?? ""}  ${run.run_id}`.replaceAll(/ {3,}/gu, "  "));
        for (const warning of run.warnings ?? []) session.note(`  ${session.say("review.warning")}: ${packValue(warning)}`);
        for (const step of run.failed_steps ?? []) tellFailedStep(session, step);
      });
    },
  );

  addFlowWorkVerbs(flow, act);
}

/** One failed step for a person: which, why, and what to type. */
function tellFailedStep(session: Session, step: unknown): void {
  const { step_path, step_id, code, message, remedy } = (typeof step === "object" && step !== null ? step : {}) as Readonly<
    Record<string, unknown>
  >;
  const words = [step_path ?? step_id, code, message].filter((word) => typeof word === "string");
  session.note(`  ${session.say("flow.failed_step")}: ${packLine(words.join("  "))}`);
  if (typeof remedy === "string") session.note(`    ${session.say("cli.remedy")}: ${packLine(remedy)}`);
}

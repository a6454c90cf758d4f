import type { Command } from "commander";
import { packLine, packValue, safeJson } from "../escape.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { shortDigest, table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi flow ...` and `rumi run ...` */
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
          showJson(session, data);
        });
      }
      return session.finish(await session.client.call("flows.show", { params: { id } }), (data) => {
        showJson(session, data);
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
        showJson(session, run.result ?? null);
        session.note(`${run.state}  ${run.execution_mode ?? ""}  ${run.run_id}`.replaceAll(/ {3,}/gu, "  "));
        for (const warning of run.warnings ?? []) session.note(`  ${session.say("review.warning")}: ${packValue(warning)}`);
        for (const step of run.failed_steps ?? []) tellFailedStep(session, step);
      });
    },
  );

  const run = program.command("run").alias("runs").description("runs of flows");

  act(
    run
      .command("list")
      .alias("ls")
      .description("runs, newest first")
      .option("--flow <id>", "only of this flow")
      .option("--state <state>", "only in this state")
      .option("--limit <n>", "how many", "50"),
    async (session, _, options) => {
      const query = {
        limit: Number(options["limit"]),
        flow_id: options["flow"] as string | undefined,
        state: options["state"] as string | undefined,
      };
      return session.finish(await session.client.call("runs.list", { query }), ({ runs }) => {
        if (runs.length === 0) session.line(session.say("run.none"));
        else
          for (const line of table(
            ["RUN", "FLOW", "STATE", "STARTED"],
            runs.map((item) => [item.run_id, item.flow_id, item.state, item.started_at ?? "-"]),
          ))
            session.line(line);
      });
    },
  );

  act(run.command("show <id>").description("one run with its steps"), async (session, [id = ""]) =>
    session.finish(await session.client.call("runs.get", { params: { id } }), (data) => {
      showJson(session, data);
    }),
  );

  act(
    run.command("cancel <id>").description("end a run now").option("--reason <text>", "kept in the record"),
    async (session, [id = ""], options) => {
      const reason = options["reason"] as string | undefined;
      return session.finish(
        await session.client.call("runs.cancel", { params: { id }, body: reason === undefined ? {} : { reason } }),
        (data) => {
          session.line(packLine(data.state));
        },
      );
    },
  );
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

/** Collects a repeated option. */
function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

/** Any value as indented JSON, every unsafe character escaped. */
function showJson(session: Session, value: unknown): void {
  session.line(safeJson(value, 2));
}

async function readInputs(
  session: Session,
  flowId: string,
  pairs: readonly string[],
  file: string | undefined,
): Promise<Record<string, never>> {
  const inputs: Record<string, unknown> = {};
  if (file !== undefined) {
    const text = await session.world.readText(file);
    if (text === null) throw new UsageError(session.say("flow.no_file", { file }));
    const read = parseJson(text);
    if (typeof read !== "object" || read === null || Array.isArray(read)) throw new UsageError(session.say("flow.bad_file", { file }));
    Object.assign(inputs, read);
  }
  const split = pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(session.say("flow.bad_input", { input: pair }));
    return { name: pair.slice(0, at), text: pair.slice(at + 1), value: parseJson(pair.slice(at + 1)) };
  });
  const couldBeText = split.some(({ value }) => value !== undefined && typeof value !== "string");
  const texts = couldBeText ? await textInputs(session, flowId) : new Set<string>();
  for (const { name, text, value } of split) {
    inputs[name] = value === undefined || (texts.has(name) && typeof value !== "string") ? text : value;
  }
  return inputs as Record<string, never>;
}

/** Inputs that the flow declares as text: `-i zip=01234` stays text for them. None when the flow cannot be read. */
async function textInputs(session: Session, flowId: string): Promise<ReadonlySet<string>> {
  const shown = await session.client.call("flows.show", { params: { id: flowId } });
  const declared = shown.ok && typeof shown.data.inputs === "object" && shown.data.inputs !== null ? Object.entries(shown.data.inputs) : [];
  const isText = (declaration: unknown): boolean =>
    typeof declaration === "object" && declaration !== null && "type" in declaration && declaration.type === "string";
  return new Set(declared.filter(([, declaration]) => isText(declaration)).map(([name]) => name));
}

/** The JSON value of a text, or undefined when it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { followRun } from "../follow-run.ts";
import { runLines } from "../run-lines.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** Lines asked for at once. */
const LOG_PAGE = 1000;

/** `rumi run ...` */
export function addRunVerbs(program: Command, act: Act): void {
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
            ["RUN", "FLOW", "STATE", "CODE", "STARTED"],
            runs.map((item) => [item.run_id, item.flow_id, item.state, item.code ?? "-", item.started_at ?? "-"]),
          ))
            session.line(line);
      });
    },
  );

  act(run.command("show <id>").description("one run with its steps; --json for their values"), async (session, [id = ""]) =>
    session.finish(await session.client.call("runs.get", { params: { id } }), (data) => {
      for (const line of runLines(data)) session.line(line);
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

  act(run.command("watch <id>").description("what happens in a run, as it happens; Ctrl-C leaves it running"), (session, [id = ""]) =>
    followRun(session, id),
  );

  act(
    run
      .command("logs <id>")
      .description("what the blocks of a run printed")
      .option("--step <step>", "only of this step")
      .option("-f, --follow", "and what they print until the run ends; Ctrl-C leaves it running"),
    async (session, [id = ""], options) => {
      const step = options["step"] as string | undefined;
      if (options["follow"] === true) return await followRun(session, id, { only: "log", ...(step === undefined ? {} : { step }) });
      return await showLogs(session, id, step);
    },
  );
}

async function showLogs(session: Session, id: string, step: string | undefined): Promise<number> {
  const lines: LogLine[] = [];
  let cursor: string | undefined;
  for (;;) {
    const answer = await session.client.call("runs.logs", { params: { id }, query: { step, cursor, limit: LOG_PAGE } });
    if (!answer.ok) return session.finish(answer, () => undefined);
    lines.push(...answer.data.lines);
    cursor = answer.data.next_cursor ?? undefined;
    if (cursor === undefined) break;
  }
  return session.local({ lines, count: lines.length, next_cursor: null }, () => {
    if (lines.length === 0) session.note(session.say("run.no_lines"));
    for (const line of lines) session.line(packLine(`${line.ts}  ${line.step_id}  ${line.text}`));
  });
}

interface LogLine {
  readonly ts: string;
  readonly step_id: string;
  readonly text: string;
}

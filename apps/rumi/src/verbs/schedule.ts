import type { Command } from "commander";
import { packLine } from "../escape.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi schedule ...` */
export function addScheduleVerbs(program: Command, act: Act): void {
  const schedule = program.command("schedule").alias("schedules").description("when flows run by themselves");

  act(schedule.command("list").alias("ls").description("every schedule, when it fires next and how it went last"), async (session) =>
    session.finish(await session.client.call("schedules.list"), ({ schedules }) => showSchedules(session, schedules)),
  );
  for (const [verb, description] of [
    ["enable", "let a paused schedule go on from now"],
    ["disable", "pause a schedule; a run that goes on is not ended"],
  ] as const)
    act(schedule.command(`${verb} <flow>`).description(description), async (session, [flow = ""]) =>
      session.finish(await session.client.call(`schedules.${verb}`, { params: { flow_id: flow } }), (one) => showSchedules(session, [one])),
    );
  act(schedule.command("trigger <flow>").description("run a scheduled flow now and print the run's id"), async (session, [flow = ""]) =>
    session.finish(await session.client.call("schedules.trigger", { params: { flow_id: flow } }), ({ run_id: id }) => {
      session.line(packLine(id));
      session.note(`${session.say("cli.next")}: rumi run watch ${packLine(id)}`);
    }),
  );
}

interface Schedule {
  readonly flow_id: string;
  readonly enabled: boolean;
  readonly cron: string | null;
  readonly interval_seconds: number | null;
  readonly timezone: string;
  readonly next_fire_at: string | null;
  readonly last_state: string | null;
  readonly skipped_overlap: number;
  readonly error: string | null;
}

function showSchedules(session: Session, schedules: readonly Schedule[]): void {
  if (schedules.length === 0) {
    session.line(session.say("schedule.none"));
    return;
  }
  const rows = schedules.map((one) => [
    one.flow_id,
    one.cron ?? `every ${one.interval_seconds ?? "?"} s`,
    one.timezone,
    one.enabled ? (one.next_fire_at ?? "never") : "paused",
    one.last_state ?? "-",
    String(one.skipped_overlap),
    one.error ?? "",
  ]);
  for (const line of table(["FLOW", "WHEN", "ZONE", "NEXT", "LAST", "DROPPED", ""], rows)) session.line(line);
}

import type { Command } from "commander";
import type { ModifierChange, ModifierRecord } from "@rumi/api/client";
import { packLine } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { shortDigest, table } from "../table.ts";
import type { Act } from "../verb.ts";
import { readNamed, showProblems } from "./flow-work.ts";

/** `rumi modifier ...` */
export function addModifierVerbs(program: Command, act: Act): void {
  const modifier = program.command("modifier").alias("modifiers").description("what packs and you change in flows");

  act(
    modifier
      .command("list")
      .alias("ls")
      .description("what became of each modifier at each flow")
      .option("--pack <id>", "only of this pack"),
    async (session, _, options) => {
      const query = { pack_id: options["pack"] as string | undefined, limit: 1000 };
      return session.finish(await session.client.call("modifiers.list", { query: query }), ({ modifiers }) => {
        showRecords(session, modifiers);
      });
    },
  );

  act(
    modifier
      .command("check <file|pack>")
      .description("what a modifier file, or a pack's modifiers as they lie there, would do; nothing is changed"),
    async (session, [what = ""]) => {
      if ((await session.world.readText(what)) === null) return await checkPack(session, what);
      const { id, source } = await readNamed(session, what, "modifier_id");
      const input = { params: { id }, query: { dry_run: true }, body: { source } };
      return session.finish(await session.client.call("modifiers.put", input), (change) => showChange(session, change));
    },
  );

  act(
    modifier
      .command("put <file>")
      .description("save a shared modifier; one with an error is refused and the old one goes on")
      .option("--dry-run", "only show what it would do"),
    async (session, [file = ""], options) => {
      const { id, source } = await readNamed(session, file, "modifier_id");
      const input = { params: { id }, query: { dry_run: options["dryRun"] === true }, body: { source } };
      return session.finish(await session.client.call("modifiers.put", input), (change) => showChange(session, change));
    },
  );

  act(
    modifier
      .command("remove <id>")
      .alias("rm")
      .description("take a shared modifier away")
      .option("--dry-run", "only show what it would do"),
    async (session, [id = ""], options) => {
      const input = { params: { id }, query: { dry_run: options["dryRun"] === true } };
      return session.finish(await session.client.call("modifiers.remove", input), (change) => showChange(session, change));
    },
  );
}

async function checkPack(session: Session, pack: string): Promise<number> {
  const query = { pack_id: pack, dry_run: true, limit: 1000 };
  const answer = await session.client.call("modifiers.list", { query: query });
  const exitCode = session.finish(answer, ({ modifiers, problems = [] }) => {
    showRecords(session, modifiers);
    showProblems(session, problems);
  });
  return answer.ok && (answer.data.problems ?? []).some(({ severity }) => severity === "error") ? EXIT.failed : exitCode;
}

function showRecords(session: Session, records: readonly ModifierRecord[]): void {
  if (records.length === 0) {
    session.line(session.say("modifier.none"));
    return;
  }
  const rows = records.map((one) => [
    one.modifier_id,
    one.pack_id ?? one.source,
    one.target_flow_id,
    one.target_step_id ?? "-",
    one.action,
    one.applied ? "applied" : (one.skipped_reason ?? "-"),
    one.wide ? "wide" : "",
  ]);
  for (const [index, line] of table(["MODIFIER", "FROM", "FLOW", "STEP", "ACTION", "STATE", ""], rows).entries())
    session.line(records[index - 1]?.wide === true ? session.red(line) : line);
}

function showChange(session: Session, { targets, wide, warnings, problems }: ModifierChange): void {
  for (const { flow_id: id, applied, skipped_reason: reason, digest } of targets)
    session.line(packLine(`${id}  ${applied ? "applied" : (reason ?? "-")}  ${shortDigest(digest)}`));
  if (wide) session.line(session.red(session.say("modifier.wide")));
  for (const warning of warnings) session.note(packLine(`${session.say("review.warning")}: ${warning}`));
  showProblems(
    session,
    problems.filter(({ severity }) => severity === "error"),
  );
}

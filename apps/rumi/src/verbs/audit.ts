import type { Command } from "commander";
import { packLine, safeJson } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import type { Act } from "../verb.ts";

/** `rumi audit ...` */
export function addAuditVerbs(program: Command, act: Act): void {
  const audit = program.command("audit").alias("audits").description("what happened, and whether the record is whole");
  act(
    audit
      .command("tail")
      .description("the newest entries")
      .option("--category <category>", "only of this category")
      .option("--pack <id>", "only of this pack")
      .option("--flow <id>", "only of this flow")
      .option("--action <action>", "only this action")
      .option("--failed", "only what did not succeed")
      .option("--limit <n>", "how many", "20")
      .option("--summary", "count entries instead"),
    async (session, _, options) => {
      if (options["summary"] === true) {
        return session.finish(await session.client.call("audit.summary"), (data) => {
          session.line(safeJson(data, 2));
        });
      }
      const text = (name: string): string | undefined => options[name] as string | undefined;
      const query = {
        category: text("category"),
        pack: text("pack"),
        flow: text("flow"),
        action: text("action"),
        limit: Number(options["limit"]),
        ...(options["failed"] === true ? { success: "false" } : {}),
      };
      return session.finish(await session.client.call("audit.query", { query }), ({ entries }) => {
        for (const entry of [...entries].reverse()) session.line(entryLine(entry));
      });
    },
  );
  act(audit.command("verify").description("check that no entry was changed, added or lost"), async (session) => {
    const answer = await session.client.call("audit.verify");
    const exitCode = session.finish(answer, (verdict) => {
      if (verdict.ok) session.line(session.say("audit.whole", { entries: verdict.entries }));
      else
        session.line(
          session.red(session.say("audit.broken", { seq: verdict.first_bad?.seq ?? "?", kind: packLine(verdict.first_bad?.kind ?? "?") })),
        );
    });
    return answer.ok && !answer.data.ok ? EXIT.failed : exitCode;
  });
}

/** One audit entry as a line: when, where, what, and whether it succeeded. `--json` has all of it. */
function entryLine(entry: unknown): string {
  const { seq, ts, category, action, success, owner_pack, flow_id, step_id, run_id, rejection_reason, error } = (
    typeof entry === "object" && entry !== null ? entry : {}
  ) as Readonly<Record<string, unknown>>;
  const outcome = success === false ? "no" : "ok";
  const words = [seq, ts, category, action, outcome, owner_pack, flow_id, step_id, run_id, rejection_reason ?? error];
  return packLine(words.filter((word) => typeof word === "string" || typeof word === "number").join("  "));
}

import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** Records of one page. */
const PAGE = 1000;

/** `rumi lib ...`: what packs do once before they serve. */
export function addLibVerbs(program: Command, act: Act): void {
  const lib = program.command("lib").alias("libs").description("what packs do once, when installed and when updated");

  act(lib.command("list [pack]").alias("ls").description("how the lib of each pack ran"), async (session, [pack]) => {
    const query = { limit: PAGE, ...(pack === undefined ? {} : { pack_id: pack }) };
    return session.finish(await session.client.call("libs.list", { query }), ({ records }) => {
      if (records.length === 0) session.line(session.say("lib.none"));
      else {
        const rows = records.map((one) => [
          one.pack_id,
          one.lib_type,
          one.success ? "ok" : `failed (${one.failures})`,
          one.executed_at,
          one.error ?? "-",
        ]);
        for (const line of table(["PACK", "RUN", "RESULT", "WHEN", "WHY"], rows)) session.line(line);
      }
    });
  });

  act(lib.command("process [pack]").description("run what is due now"), async (session, [pack]) => {
    const answer = await session.client.call("libs.process", { body: pack === undefined ? {} : { pack_id: pack } });
    const ended = session.finish(answer, ({ libs }) => {
      const shown = libs.filter((end) => pack !== undefined || (end.result !== "none" && end.result !== "skipped"));
      if (shown.length === 0) session.line(session.say("lib.nothing_due"));
      for (const end of shown) {
        session.line(
          packLine([end.pack_id, end.lib_type ?? "-", end.result, end.code, end.error].filter((text) => text !== null).join("  ")),
        );
      }
    });
    if (ended !== EXIT.done || !answer.ok) return ended;
    return answer.data.libs.some(({ result }) => result === "failed" || result === "gave_up" || result === "refused") ? EXIT.failed : ended;
  });

  act(lib.command("clear <pack>").alias("rm").description("forget how it ran: it is installed anew"), async (session, [pack = ""]) =>
    session.finish(await session.client.call("libs.clear", { params: { pack_id: pack } }), ({ pack_id: packId, cleared }) => {
      session.line(session.say(cleared ? "lib.cleared" : "lib.nothing_known", { pack_id: packLine(packId) }));
    }),
  );
}

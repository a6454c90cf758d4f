import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { collect, configOf, jsonFile, termsOf } from "../options.ts";
import { showDropped, showRights, showWarnings } from "../right-lines.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi grant ...` */
export function addGrantVerbs(program: Command, act: Act): void {
  const grant = program.command("grant").alias("grants").description("rights of packs");

  act(grant.command("list [principal]").alias("ls").description("who holds which right, one a line"), async (session, [principal]) => {
    const answer = await session.client.call("grants.list", { query: { principal_id: principal } });
    return session.finish(answer, ({ grants }) => {
      const records = Object.values(grants);
      const rights = records.flatMap((record) =>
        record.rights.map((right) => ({ principal: record.principal_id, permission: right.permission_id, ...right })),
      );
      if (rights.length > 0) showRights(session, rights);
      for (const record of records) {
        if (record.status !== "tampered") continue;
        session.line(session.red(session.say("grant.tampered", { principal_id: packLine(record.principal_id) })));
        session.line(`  ${session.say("cli.remedy")}: rumi grant reset ${packLine(record.principal_id)}`);
      }
      if (records.length === 0) session.line(session.say("grant.none"));
    });
  });

  act(
    grant
      .command("add [principal] [permission]")
      .description("give a right; replaces its config. -c key=value for each limit; lists take one item at a time")
      .option("-c, --config <key=value>", "a limit, or a JSON object of limits; may be repeated", collect, [])
      .option("--config-file <file>", "a JSON object of limits")
      .option("--expires <time>", "UTC ISO time")
      .option("--notes <text>", "kept in the record")
      .option("--from <file>", "many grants: a JSON object {grants: [...]}, up to 50"),
    async (session, [principal, permission], options) => {
      if (typeof options["from"] === "string") return await addMany(session, options["from"]);
      if (principal === undefined || permission === undefined) throw new UsageError(session.say("grant.needs_both"));
      const file = options["configFile"];
      const config = {
        ...(typeof file === "string" ? await jsonFile(session, file) : {}),
        ...configOf(session, options["config"] as readonly string[]),
      };
      const before = await heldConfig(session, principal, permission);
      const answer = await session.client.call("grants.grant", {
        body: { principal_id: principal, permission_id: permission, config: config as never, ...termsOf(options) },
      });
      return session.finish(answer, (given) => {
        const { principal_id, permission_id, undeclared } = given;
        showRights(session, [
          { principal: principal_id, permission: permission_id, config: given.config, undeclared, ...termsOf(options) },
        ]);
        showDropped(session, before, given.config);
        showWarnings(session, given.warnings);
      });
    },
  );

  act(
    grant
      .command("revoke <principal> <permission>")
      .description('take a right, or with "*" all of them')
      .option("--reason <text>", "kept in the audit log"),
    async (session, [principal = "", permission = ""], options) => {
      const reason = typeof options["reason"] === "string" ? { reason: options["reason"] } : {};
      const answer = await session.client.call("grants.revoke", {
        body: { principal_id: principal, permission_id: permission, ...reason },
      });
      return session.finish(answer, ({ revoked }) => {
        session.line(session.say("grant.revoked", { count: revoked, principal_id: packLine(principal) }));
      });
    },
  );

  act(
    grant.command("reset <principal>").description("drop a record that something else changed; grants nothing"),
    async (session, [principal = ""]) =>
      session.finish(await session.client.call("grants.reset", { body: { principal_id: principal } }), () => {
        session.line(session.say("grant.reset", { principal_id: packLine(principal) }));
      }),
  );
}

/** The config that a right has now; null when it is not held or cannot be seen. */
export async function heldConfig(session: Session, principal: string, permission: string): Promise<unknown> {
  const answer = await session.client.call("grants.list", { query: { principal_id: principal } });
  const rights = answer.ok ? Object.values(answer.data.grants).flatMap((record) => record.rights) : [];
  return rights.find((right) => right.permission_id === permission)?.config ?? null;
}

async function addMany(session: Session, file: string): Promise<number> {
  const { grants } = await jsonFile(session, file);
  const answer = await session.client.call("grants.batch", { body: { grants: grants as never } });
  const exitCode = session.finish(answer, ({ results, succeeded, total }) => {
    const rows = results.map((one) => [one.principal_id, one.permission_id, one.granted ? "ok" : (one.code ?? "no"), one.error ?? ""]);
    for (const [index, line] of table(["PRINCIPAL", "PERMISSION", "", ""], rows).entries())
      session.line(results[index - 1]?.granted === false ? session.red(line) : line);
    session.line(session.say("grant.batch", { succeeded, total }));
  });
  return answer.ok && answer.data.failed > 0 ? EXIT.failed : exitCode;
}

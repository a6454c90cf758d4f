import type { Command } from "commander";
import { findInHomes } from "../discovery.ts";
import { packLine } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { collect } from "../options.ts";
import { UsageError } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

const SCOPES = ["read", "run", "approve", "admin"] as const;

/** `rumi token ...` */
export function addTokenVerbs(program: Command, act: Act): void {
  const token = program.command("token").alias("tokens").description("API tokens");

  act(token.command("show").description("print this machine's own token"), async (session) => {
    const found = await findInHomes(session.world, "settings/api_token");
    if (found === null) return session.refuse(EXIT.notFound, "cli.no_token_file", session.say("token.no_file"), "rumi start");
    return session.local({ token: found.text.trim() }, (data) => {
      session.line(packLine(data.token));
    });
  });

  act(token.command("list").alias("ls").description("every token, never its value"), async (session) =>
    session.finish(await session.client.call("tokens.list"), ({ tokens }) => {
      const rows = tokens.map((item) => [item.id, item.name, item.scopes.join(","), item.expires_at ?? "-", item.last_used_at ?? "-"]);
      for (const line of table(["ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"], rows)) session.line(line);
    }),
  );

  act(
    token
      .command("create <name>")
      .description("make a token and print its value once")
      .requiredOption("--scope <scope>", "read, run, approve or admin; may be repeated", collect, [])
      .option("--flow <id>", "a flow it may run, or *; may be repeated", collect, [])
      .option("--expires <time>", "UTC ISO time"),
    async (session, [name = ""], options) => {
      const scopes = (options["scope"] as readonly string[]).map((scope) => {
        const known = SCOPES.find((item) => item === scope);
        if (known === undefined) throw new UsageError(session.say("token.bad_scope", { scope }));
        return known;
      });
      if (scopes.length === 0) throw new UsageError(session.say("token.bad_scope", { scope: "" }));
      const flows = options["flow"] as readonly string[];
      const expires = options["expires"] as string | undefined;
      const answer = await session.client.call("tokens.create", {
        body: {
          name,
          scopes,
          ...(flows.length === 0 ? {} : { allowed_flow_ids: flows.includes("*") ? ("*" as const) : [...flows] }),
          ...(expires === undefined ? {} : { expires_at: expires }),
        },
      });
      return session.finish(answer, (made) => {
        session.line(packLine(made.token));
        session.note(session.say("token.once", { id: made.id }));
      });
    },
  );

  act(
    token
      .command("rotate <id>")
      .description("give a token a new value and print it once")
      .option("--grace <seconds>", "how long the old value still passes"),
    async (session, [id = ""], options) => {
      const grace = options["grace"] === undefined ? undefined : Number(options["grace"]);
      if (grace !== undefined && !Number.isInteger(grace)) throw new UsageError(session.say("token.bad_grace"));
      return session.finish(
        await session.client.call("tokens.rotate", { params: { id }, body: grace === undefined ? {} : { grace_seconds: grace } }),
        (made) => {
          session.line(packLine(made.token));
          session.note(session.say("token.once", { id: made.id }));
        },
      );
    },
  );

  act(token.command("revoke <id>").description("end a token at once"), async (session, [id = ""]) =>
    session.finish(await session.client.call("tokens.delete", { params: { id } }), () => {
      session.line(session.say("token.revoked", { id: packLine(id) }));
    }),
  );
}

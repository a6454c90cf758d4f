import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** Rules of one page. */
const PAGE = 1000;

/** `rumi dict ...`: the words that operators agree on. */
export function addDictVerbs(program: Command, act: Act): void {
  const dict = program.command("dict").alias("dicts").description("the shared dictionary: which words mean the same");

  act(
    dict.command("list [namespace] [token]").alias("ls").description("rules, one a line, with the end of each chain"),
    async (session, [namespace, token]) => {
      const query = {
        limit: PAGE,
        ...(namespace === undefined ? {} : { namespace }),
        ...(token === undefined ? {} : { token }),
      };
      return session.finish(await session.client.call("dictionary.list", { query }), ({ rules }) => {
        if (rules.length === 0) session.line(session.say("dict.none"));
        else {
          const rows = rules.map((rule) => [rule.namespace, rule.token, rule.value, rule.hops > 1 ? rule.resolved : "-"]);
          for (const line of table(["NAMESPACE", "TOKEN", "VALUE", "IN THE END"], rows)) session.line(line);
        }
      });
    },
  );

  act(
    dict.command("propose <namespace> <token> <value>").description("say that in a namespace a token means a value"),
    async (session, [namespace = "", token = "", value = ""]) =>
      session.finish(await session.client.call("dictionary.propose", { body: { namespace, token, value } }), (rule) => {
        session.line(session.say("dict.accepted", shown(rule)));
      }),
  );

  act(
    dict
      .command("remove <namespace> <token> [value]")
      .alias("rm")
      .description("take the rule of a token away; with a value, only that one"),
    async (session, [namespace = "", token = "", value]) =>
      session.finish(
        await session.client.call("dictionary.remove", { body: { namespace, token, ...(value === undefined ? {} : { value }) } }),
        (rule) => {
          session.line(session.say("dict.removed", shown(rule)));
        },
      ),
  );
}

function shown(rule: { readonly namespace: string; readonly token: string; readonly value: string | null }): Record<string, string> {
  return { namespace: packLine(rule.namespace), token: packLine(rule.token), value: packLine(rule.value ?? "-") };
}

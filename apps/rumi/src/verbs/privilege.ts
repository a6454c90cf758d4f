import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { limitsText, showWarnings } from "../right-lines.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi privilege ...`: powers over the host, all of them red. */
export function addPrivilegeVerbs(program: Command, act: Act): void {
  const privilege = program.command("privilege").alias("privileges").description("powers of packs over the host");

  act(privilege.command("list [pack]").alias("ls").description("every power, one a line"), async (session, [pack]) =>
    session.finish(await session.client.call("privileges.list"), ({ privileges }) => {
      const rows = privileges
        .filter((one) => pack === undefined || one.pack_id === pack)
        .flatMap((one) => one.privileges.map((held) => [one.pack_id, held.privilege, held.granted_at ?? "-", mountsText(held.config)]));
      if (rows.length === 0) session.line(session.say("privilege.none"));
      else
        for (const [index, line] of table(["PACK", "PRIVILEGE", "SINCE", "FOR"], rows).entries())
          session.line(index === 0 ? line : session.red(line));
    }),
  );

  act(
    privilege
      .command("grant <pack> <privilege> [values...]")
      .description("host.execute: ids of handlers or units; host.mount: source:/mnt/target[:rw]; allow_wildcard_modifiers: nothing"),
    async (session, [pack = "", name = "", ...values]) => {
      const config = configOf(session, name, values);
      const answer = await session.client.call("privileges.grant", {
        params: { pack_id: pack, privilege: name as "host.execute" },
        body: config === undefined ? {} : { config },
      });
      return session.finish(answer, (given) => {
        session.line(session.red(`${packLine(given.pack_id)}  ${packLine(given.privilege)}  ${mountsText(given.config)}`));
        showWarnings(session, given.warnings);
      });
    },
  );

  act(privilege.command("revoke <pack> <privilege>").description("take a power"), async (session, [pack = "", name = ""]) =>
    session.finish(await session.client.call("privileges.revoke", { params: { pack_id: pack, privilege: name as "host.execute" } }), () => {
      session.line(session.say("privilege.revoked", { pack_id: packLine(pack), privilege: packLine(name) }));
    }),
  );
}

function configOf(session: Session, name: string, values: readonly string[]): unknown {
  if (name === "host.execute") {
    if (values.length === 0) throw new UsageError(session.say("privilege.needs_ids"));
    return values;
  }
  if (name === "host.mount") {
    if (values.length === 0) throw new UsageError(session.say("privilege.needs_mounts"));
    return values.map((value) => mountOf(session, value));
  }
  if (values.length > 0) throw new UsageError(session.say("privilege.no_values"));
  return undefined;
}

/** `source:/mnt/target` read only, `:rw` after it not. */
function mountOf(session: Session, value: string): { source: string; target: string; read_only: boolean } {
  const [, source, target, mode] = /^(\/[^:]*):(\/mnt\/[^:]+)(?::(ro|rw))?$/u.exec(value) ?? [];
  if (source === undefined || target === undefined) throw new UsageError(session.say("privilege.needs_mounts"));
  return { source, target, read_only: mode !== "rw" };
}

function mountsText(config: unknown): string {
  if (!Array.isArray(config)) return limitsText(config);
  return (config as readonly unknown[])
    .map((item) => {
      if (typeof item !== "object" || item === null || !("source" in item) || !("target" in item)) return limitsText([item]);
      const readOnly = "read_only" in item && item.read_only === true;
      return packLine(`${String(item.source)}:${String(item.target)}${readOnly ? "" : ":rw"}`);
    })
    .join(" ");
}

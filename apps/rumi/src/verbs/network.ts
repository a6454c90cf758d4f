import type { Command } from "commander";
import { packLine, packValue } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { collect, portsOf, termsOf, wholeNumber } from "../options.ts";
import { showDropped, showRights, showWarnings } from "../right-lines.ts";
import type { ShownRight } from "../right-lines.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

interface Held {
  readonly allowed_domains: readonly string[];
  readonly allowed_ports: readonly (string | number)[];
  readonly allow_private?: readonly string[] | undefined;
  readonly allowed_methods?: readonly string[] | undefined;
  readonly requests_per_minute?: number | undefined;
}

/** `rumi network ...` */
export function addNetworkVerbs(program: Command, act: Act): void {
  const network = program.command("network").alias("networks").description("what packs may reach of the outside");

  act(network.command("list [pack]").alias("ls").description("every network grant, one a line"), async (session, [pack]) =>
    session.finish(await session.client.call("network.list"), ({ grants, disabled_packs: asleep }) => {
      const shown = Object.values(grants).filter((grant) => pack === undefined || grant.pack_id === pack);
      if (shown.length === 0) session.line(session.say("network.none"));
      else
        showRights(
          session,
          shown.map((grant) => shownGrant(grant, Object.hasOwn(asleep, grant.pack_id) ? asleep[grant.pack_id] : undefined)),
        );
      for (const grant of shown) {
        const why = Object.hasOwn(asleep, grant.pack_id) ? asleep[grant.pack_id] : undefined;
        if (why !== undefined) session.line(`  ${packLine(grant.pack_id)}: ${packLine(why)}  rumi pack review ${packLine(grant.pack_id)}`);
      }
    }),
  );

  act(
    network
      .command("grant <pack> [domains...]")
      .description("let a pack reach these hosts on these ports; replaces its grant")
      .option("--port <port>", "a port, or *; may be repeated", collect, [])
      .option("--private <host:port>", "a private address it may reach; may be repeated", collect, [])
      .option("--method <method>", "only these methods; may be repeated", collect, [])
      .option("--per-minute <n>", "requests a minute")
      .option("--add", "keep what it may reach already")
      .option("--expires <time>", "UTC ISO time")
      .option("--notes <text>", "kept in the record"),
    async (session, [pack = "", ...domains], options) => {
      const ports = portsOf(session, options["port"] as readonly string[]);
      const privates = options["private"] as readonly string[];
      const held = await heldNetwork(session, pack);
      const base = options["add"] === true ? held : null;
      if (base === null && privates.length === 0 && (domains.length === 0 || ports.length === 0))
        throw new UsageError(session.say("network.needs_both"));
      const methods = options["method"] as readonly string[];
      const perMinute = wholeNumber(session, "--per-minute", options["perMinute"]) ?? base?.requests_per_minute;
      const wanted = {
        allowed_domains: union(base?.allowed_domains, domains),
        allowed_ports: union<string | number>(base?.allowed_ports, ports),
        ...listed("allow_private", union(base?.allow_private, privates)),
        ...listed("allowed_methods", methods.length > 0 ? methods.map((method) => method.toUpperCase()) : (base?.allowed_methods ?? [])),
        ...(perMinute === undefined ? {} : { requests_per_minute: perMinute }),
      };
      const answer = await session.client.call("network.grant", { body: { pack_id: pack, ...wanted, ...termsOf(options) } as never });
      return session.finish(answer, ({ grant, warnings }) => {
        showRights(session, [shownGrant(grant)]);
        if (held !== null) showDropped(session, configOf(held), configOf(grant));
        showWarnings(session, warnings);
      });
    },
  );

  act(
    network.command("revoke <pack>").description("take a pack's network grant").option("--reason <text>", "kept in the audit log"),
    async (session, [pack = ""], options) => {
      const reason = typeof options["reason"] === "string" ? { reason: options["reason"] } : {};
      return session.finish(await session.client.call("network.revoke", { body: { pack_id: pack, ...reason } }), () => {
        session.line(session.say("network.revoked", { pack_id: packLine(pack) }));
      });
    },
  );

  act(
    network.command("check <pack> <domain> <port>").description("whether a grant covers a host; nothing is sent"),
    async (session, [pack = "", domain = "", port = ""]) => {
      const [number = 0] = portsOf(session, [port === "*" ? "0" : port]);
      const answer = await session.client.call("network.check", { body: { pack_id: pack, domain, port: Number(number) } });
      const exitCode = session.finish(answer, (verdict) => {
        const line = `${packLine(pack)} -> ${packLine(domain)}:${number}  ${packLine(verdict.reason)}`;
        session.line(verdict.allowed ? line : session.red(line));
        if (!verdict.allowed) session.line(`  ${session.say("cli.remedy")}: ${remedyOf(verdict.reason, pack, domain, port)}`);
      });
      return answer.ok && !answer.data.allowed ? EXIT.failed : exitCode;
    },
  );

  act(
    network
      .command("report <pack>")
      .description("what a pack asked of the outside, and the smallest grant for it")
      .option("--seconds <n>", "let it reach global hosts for so long and note them, at most 3600; 0 ends it"),
    async (session, [pack = ""], options) => {
      const seconds = wholeNumber(session, "--seconds", options["seconds"]);
      if (seconds === undefined) return await showReport(session, pack);
      const answer = await session.client.call("network.startReport", { body: { pack_id: pack, seconds } });
      return session.finish(answer, ({ until }) => {
        if (until === null) session.line(session.say("network.report_ended", { pack_id: packLine(pack) }));
        else session.line(session.red(session.say("network.report_until", { pack_id: packLine(pack), until: packLine(until) })));
        session.line(`${session.say("cli.next")}: rumi network report ${packLine(pack)}`);
      });
    },
  );
}

async function showReport(session: Session, pack: string): Promise<number> {
  return session.finish(await session.client.call("network.report", { query: { pack_id: pack } }), ({ observed, proposed }) => {
    if (observed.length === 0) session.line(session.say("network.observed_none"));
    else {
      const rows = observed.map((one) => [
        one.domain,
        String(one.port),
        String(one.count),
        one.would_allow ? "granted" : "no",
        one.last_at,
      ]);
      for (const [index, line] of table(["DOMAIN", "PORT", "COUNT", "GRANT", "LAST"], rows).entries())
        session.line(observed[index - 1]?.would_allow === false ? session.red(line) : line);
    }
    if (proposed !== null) session.line(`\n${session.say("cli.next")}: ${grantCommand(pack, proposed as unknown as Held)}`);
  });
}

/** The command that gives exactly this. */
function grantCommand(pack: string, grant: Held): string {
  const words = [
    ...(grant.allowed_domains ?? []),
    ...(grant.allowed_ports ?? []).map((port) => `--port ${port}`),
    ...(grant.allow_private ?? []).map((pair) => `--private ${pair}`),
  ];
  return `rumi network grant ${packLine(pack)} ${words.map((word) => quoted(packValue(word))).join(" ")}`;
}

/** What would let it through, without taking what it may reach already. */
function remedyOf(reason: string, pack: string, domain: string, port: string): string {
  if (reason === "Pack is not approved") return `rumi pack review ${packLine(pack)}`;
  return `rumi network grant ${packLine(pack)} ${quoted(packLine(domain))} --port ${port} --add`;
}

/** A word that a shell would not take as it is stands in quotes. */
function quoted(word: string): string {
  return word.replaceAll(/(?<=^|\s)(\S*[*?[\]$&;|<>()'"`\\!#~{}]\S*)/gu, (text) => `'${text.replaceAll("'", "")}'`);
}

/** What a pack may reach now; null when nothing, or it cannot be seen. */
async function heldNetwork(session: Session, pack: string): Promise<Held | null> {
  const answer = await session.client.call("network.list");
  return answer.ok && Object.hasOwn(answer.data.grants, pack) ? (answer.data.grants[pack] ?? null) : null;
}

function configOf(grant: Held): Held {
  const { allowed_domains, allowed_ports, allow_private, allowed_methods, requests_per_minute } = grant;
  return {
    allowed_domains,
    allowed_ports,
    ...(allow_private === undefined ? {} : { allow_private }),
    ...(allowed_methods === undefined ? {} : { allowed_methods }),
    ...(requests_per_minute === undefined ? {} : { requests_per_minute }),
  };
}

function shownGrant(
  grant: Held & Pick<ShownRight, "undeclared" | "expires_at" | "last_used_at"> & { readonly pack_id: string },
  asleep?: string,
): ShownRight {
  const { undeclared, expires_at, last_used_at } = grant;
  return {
    principal: grant.pack_id,
    permission: "network.egress",
    config: configOf(grant),
    undeclared,
    expires_at,
    last_used_at,
    ...(asleep === undefined ? {} : { asleep }),
  };
}

function union<Item>(held: readonly Item[] | undefined, more: readonly Item[]): Item[] {
  return [...new Set([...(held ?? []), ...more])];
}

function listed(name: string, items: readonly unknown[]): Record<string, readonly unknown[]> {
  return items.length === 0 ? {} : { [name]: items };
}

import type { Command } from "commander";
import { packLine } from "../escape.ts";
import { collect, termsOf } from "../options.ts";
import { showDropped, showRights, showWarnings } from "../right-lines.ts";
import type { ShownRight } from "../right-lines.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";
import { heldConfig } from "./grant.ts";

/** A secret's name. Source: page "Trust", section 1. */
const KEY = /^[A-Z0-9_]{1,64}$/u;

/** `rumi secret ...`: a value is read from stdin or a hidden prompt, never from the command line. */
export function addSecretVerbs(program: Command, act: Act): void {
  const secret = program.command("secret").alias("secrets").description("secrets, and who may use them");

  act(secret.command("list").alias("ls").description("every secret's name and times, never a value"), async (session) =>
    session.finish(await session.client.call("secrets.list", { query: { limit: 1000 } }), ({ secrets, state }) => {
      if (state === "locked") {
        session.line(session.red(session.say("error.secrets.locked")));
        session.line(`  ${session.say("cli.remedy")}: rumi doctor`);
      }
      const rows = secrets.map((one) => [
        one.key,
        one.unreadable === true ? "UNREADABLE" : one.deleted ? "deleted" : one.masked,
        one.updated_at ?? one.created_at ?? "-",
        one.last_used_at ?? "-",
      ]);
      if (rows.length === 0) session.line(session.say("secret.none"));
      else
        for (const [index, line] of table(["KEY", "VALUE", "CHANGED", "LAST USED"], rows).entries())
          session.line(secrets[index - 1]?.unreadable === true ? session.red(line) : line);
      const broken = secrets.find((one) => one.unreadable === true);
      if (broken !== undefined) session.line(`  ${session.say("cli.remedy")}: rumi secret set ${packLine(broken.key)}`);
    }),
  );

  act(
    secret.command("set <key>").description("set a secret; its value is read from stdin, or from a prompt that shows nothing"),
    async (session, [key = ""]) => {
      assertKey(session, key);
      const value = await session.world.readSecret(`${session.say("secret.prompt", { key })} `);
      if (session.world.interrupted.aborted) throw new UsageError(session.say("cli.interrupted"));
      if (value === null) throw new UsageError(session.say("secret.no_value"));
      return session.finish(await session.client.call("secrets.set", { body: { key, value } }), (done) => {
        session.line(session.say(done.created ? "secret.created" : "secret.replaced", { key, length: value.length }));
        showWarnings(session, done.warnings);
        session.line(`${session.say("cli.next")}: rumi secret grant PACK --use ${key}@HOST`);
      });
    },
  );

  act(secret.command("delete <key>").alias("rm").description("delete a secret"), async (session, [key = ""]) => {
    assertKey(session, key);
    return session.finish(await session.client.call("secrets.delete", { body: { key } }), () => {
      session.line(session.say("secret.deleted", { key }));
    });
  });

  act(
    secret
      .command("grant [pack]")
      .description("who may use which secret; with --use or --get give that right, replacing it; with --revoke take it")
      .option("--use <KEY@host>", "the proxy puts it into requests to that host; the pack never holds it; may be repeated", collect, [])
      .option("--slot <slot>", "where: header (alone without this), query, body; may be repeated", collect, [])
      .option("--get <KEY>", "the pack reads the value itself; may be repeated", collect, [])
      .option("--revoke [KEY]", "take this secret, or every one, out of the pack's rights")
      .option("--expires <time>", "UTC ISO time")
      .option("--notes <text>", "kept in the record"),
    async (session, [pack], options) => {
      const [use, get] = [options["use"] as readonly string[], options["get"] as readonly string[]];
      const revoke = options["revoke"];
      if ([use.length > 0, get.length > 0, revoke !== undefined].filter(Boolean).length > 1)
        throw new UsageError(session.say("secret.one_of"));
      if (pack === undefined && (use.length > 0 || get.length > 0 || revoke !== undefined))
        throw new UsageError(session.say("secret.needs_pack"));
      if (pack === undefined) return await showAll(session);
      if (revoke !== undefined) return await withdraw(session, pack, revoke);
      if (use.length === 0 && get.length === 0) return await showOne(session, pack);
      return await give(session, pack, { use, get, slots: options["slot"] as readonly string[], terms: termsOf(options) });
    },
  );

  act(secret.command("rotate-key").description("seal every secret under a new key"), async (session) =>
    session.finish(await session.client.call("secrets.rotateKey"), ({ rotated }) => {
      session.line(session.say("secret.rotated", { count: rotated }));
    }),
  );
}

/** What was typed is not repeated: it may be the value. @throws UsageError */
function assertKey(session: Session, key: string): void {
  if (!KEY.test(key)) throw new UsageError(session.say("secret.bad_key"));
}

async function showAll(session: Session): Promise<number> {
  return session.finish(await session.client.call("secrets.grants"), ({ grants }) => {
    const rights = Object.values(grants).flatMap((one) => [...shown(one.pack_id, one.use), ...shown(one.pack_id, one.get)]);
    if (rights.length === 0) session.line(session.say("secret.no_grants"));
    else showRights(session, rights);
  });
}

async function showOne(session: Session, pack: string): Promise<number> {
  return session.finish(await session.client.call("secrets.packGrants", { params: { pack_id: pack } }), (one) => {
    showRights(session, [...shown(one.pack_id, one.use), ...shown(one.pack_id, one.get)]);
  });
}

function shown(
  pack: string,
  right: (Omit<ShownRight, "principal" | "permission"> & { readonly permission_id: string }) | null,
): ShownRight[] {
  return right === null ? [] : [{ ...right, principal: pack, permission: right.permission_id }];
}

async function withdraw(session: Session, pack: string, key: unknown): Promise<number> {
  if (typeof key === "string") assertKey(session, key);
  const answer =
    typeof key === "string"
      ? await session.client.call("secrets.withdraw", { params: { pack_id: pack, key } })
      : await session.client.call("secrets.revoke", { params: { pack_id: pack } });
  return session.finish(answer, ({ revoked }) => {
    session.line(session.say("grant.revoked", { count: revoked, principal_id: packLine(pack) }));
  });
}

interface Wish {
  readonly use: readonly string[];
  readonly get: readonly string[];
  readonly slots: readonly string[];
  readonly terms: { readonly expires_at?: string; readonly notes?: string };
}

async function give(session: Session, pack: string, wish: Wish): Promise<number> {
  const { use, get, slots, terms } = wish;
  const permission = use.length > 0 ? "secrets.use" : "secrets.get";
  const before = await heldConfig(session, pack, permission);
  const body =
    use.length > 0
      ? { mode: "use" as const, bindings: [...use], ...(slots.length === 0 ? {} : { slots: [...slots] as "header"[] }), ...terms }
      : { mode: "get" as const, keys: [...get], ...terms };
  const answer = await session.client.call("secrets.grant", { params: { pack_id: pack }, body });
  return session.finish(answer, (given) => {
    const right = { principal: given.principal_id, permission: given.permission_id, config: given.config, undeclared: given.undeclared };
    showRights(session, [{ ...right, ...terms }]);
    showDropped(session, before, given.config);
    showWarnings(session, given.warnings);
    // What a host may do with a value that it was given is among the daemon's own warnings.
    if (get.length > 0) session.line(session.red(session.say("secret.get_means")));
  });
}

import type { Command } from "commander";
import { packLine, safeJson } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { wholeNumber } from "../options.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** Keys of one page of `store keys`. */
const PAGE = 1000;

/** `rumi store ...` */
export function addStoreVerbs(program: Command, act: Act): void {
  const store = program.command("store").alias("stores").description("stores of packs, and who shares them");

  act(
    store
      .command("list")
      .alias("ls")
      .description("every store, whose it is and how full")
      .option("--shared", "what is shared, and with whom"),
    async (session, _, options) => {
      if (options["shared"] === true)
        return session.finish(await session.client.call("stores.shared"), ({ entries }) => {
          showShares(session, entries);
        });
      return session.finish(await session.client.call("stores.list", { query: { limit: 1000 } }), ({ stores }) => {
        if (stores.length === 0) session.line(session.say("store.none"));
        else
          for (const line of table(
            ["STORE", "OWNER", "KEYS", "BYTES", "MOST BYTES"],
            stores.map((one) => [one.store_id, one.owner ?? "-", String(one.keys), String(one.bytes), String(one.max_bytes ?? "-")]),
          ))
            session.line(line);
      });
    },
  );

  act(
    store
      .command("create <store>")
      .description("make a store that no pack owns; grants nothing")
      .option("--max-bytes <n>", "most bytes of all values")
      .option("--max-keys <n>", "most keys")
      .option("--root <path>", "one name below user_data/stores"),
    async (session, [id = ""], options) => {
      const [bytes, keys] = [
        wholeNumber(session, "--max-bytes", options["maxBytes"]),
        wholeNumber(session, "--max-keys", options["maxKeys"]),
      ];
      const root = options["root"];
      const answer = await session.client.call("stores.create", {
        body: {
          store_id: id,
          ...(bytes === undefined ? {} : { max_bytes: bytes }),
          ...(keys === undefined ? {} : { max_keys: keys }),
          ...(typeof root === "string" ? { root_path: root } : {}),
        },
      });
      return session.finish(answer, (made) => {
        session.line(session.say("store.created", { store_id: packLine(made.store_id) }));
        session.line(`${session.say("cli.next")}: rumi grant add PACK store.get -c allowed_store_ids=${packLine(made.store_id)}`);
      });
    },
  );

  act(store.command("get <store> <key>").description("the value of one key, as JSON"), async (session, [id = "", key = ""]) =>
    session.finish(await session.client.call("stores.value", { params: { id }, query: { key } }), ({ value }) => {
      session.line(safeJson(value, 2));
    }),
  );

  act(
    store
      .command("keys <store>")
      .description("keys of a store, in order")
      .option("--prefix <text>", "only keys that start so")
      .option("--after <cursor>", "the next page"),
    async (session, [id = ""], options) => {
      const query = {
        limit: PAGE,
        prefix: options["prefix"] as string | undefined,
        cursor: options["after"] as string | undefined,
      };
      return session.finish(await session.client.call("stores.keys", { params: { id }, query }), ({ keys, next_cursor: next }) => {
        for (const key of keys) session.line(packLine(key));
        if (next !== null) session.note(`${session.say("cli.next")}: rumi store keys ${packLine(id)} --after ${next}`);
      });
    },
  );

  for (const verb of ["share", "unshare"] as const) {
    const command = store
      .command(`${verb} <store> <pack>`)
      .description(verb === "share" ? "let another pack use a pack's store; it needs a grant as well" : "take a share back")
      .option("--owner <pack>", "whose store it is; looked up without this");
    if (verb === "share") command.option("--mode <mode>", "read, or read_write", "read");
    act(command, async (session, [id = "", pack = ""], options) => {
      const owner = typeof options["owner"] === "string" ? options["owner"] : await ownerOf(session, id);
      if (typeof owner === "number") return owner;
      const sides = { store_id: id, provider_pack_id: owner, consumer_pack_id: pack };
      const answer =
        verb === "share"
          ? await session.client.call("stores.share", { body: { ...sides, mode: options["mode"] as "read" } })
          : await session.client.call("stores.unshare", { body: sides });
      return session.finish(answer, ({ entries }) => {
        showShares(
          session,
          entries.filter((entry) => entry.store_id === id),
        );
        if (verb === "share")
          session.line(`${session.say("cli.next")}: rumi grant add ${packLine(pack)} store.get -c allowed_store_ids=${packLine(id)}`);
      });
    });
  }

  act(
    store
      .command("import <store> <folder>")
      .description("take the JSON files of a folder on the daemon's disk into a store; they stay where they are")
      .option("--overwrite", "replace keys that are there"),
    async (session, [id = "", path = ""], options) => {
      const body = { path, ...(options["overwrite"] === true ? { overwrite: true } : {}) };
      const answer = await session.client.call("stores.import", { params: { id }, body });
      return session.finish(answer, ({ imported, skipped, errors }) => {
        session.line(session.say("store.imported", { imported, skipped, errors: errors.length }));
        for (const error of errors) session.line(session.red(`  ${packLine(safeJson(error))}`));
      });
    },
  );

  act(
    store.command("delete <store>").alias("rm").description("delete a store").option("--force", "with everything in it"),
    async (session, [id = ""], options) => {
      const query = options["force"] === true ? { force: "true" } : {};
      return session.finish(await session.client.call("stores.delete", { params: { id }, query }), () => {
        session.line(session.say("store.deleted", { store_id: packLine(id) }));
      });
    },
  );
}

/** The pack that owns a store, or the exit code of why there is none. */
async function ownerOf(session: Session, id: string): Promise<string | number> {
  const answer = await session.client.call("stores.list", { query: { limit: 1000 } });
  if (!answer.ok) return session.finish(answer, () => undefined);
  const found = answer.data.stores.find((one) => one.store_id === id);
  if (found === undefined) return session.refuse(EXIT.notFound, "store.not_found", session.say("error.store.not_found"), "rumi store list");
  if (found.owner === null) throw new UsageError(session.say("store.operators"));
  return found.owner;
}

interface Share {
  readonly store_id: string;
  readonly provider_pack_id: string;
  readonly consumer_pack_id: string;
  readonly mode: string;
}

function showShares(session: Session, entries: readonly Share[]): void {
  if (entries.length === 0) session.line(session.say("store.no_shares"));
  else
    for (const [index, line] of table(
      ["STORE", "OWNER", "USED BY", "MODE"],
      entries.map((entry) => [entry.store_id, entry.provider_pack_id, entry.consumer_pack_id, entry.mode]),
    ).entries())
      session.line(entries[index - 1]?.mode === "read_write" ? session.red(line) : line);
}

import type { PackReview, PackSummary } from "@rumi/api/client";
import type { Command } from "commander";
import { packLine, packValue } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { showDiff, showReview, warningText } from "../review-screen.ts";
import { limitsText } from "../right-lines.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { shortDigest, table } from "../table.ts";
import type { Act } from "../verb.ts";
import { validatePacks } from "./pack-validate.ts";

/** `rumi pack ...` */
export function addPackVerbs(program: Command, act: Act): void {
  const pack = program.command("pack").alias("packs").description("packs and the decisions on them");

  act(
    pack
      .command("list")
      .alias("ls")
      .description("every pack and its status")
      .option("--status <status>", "only packs of this status")
      .option("--pending", "only packs that wait for a decision"),
    async (session, _, options) => {
      const status = options["status"] as PackSummary["status"] | undefined;
      const query = { limit: 1000, ...(status === undefined ? {} : { status }) };
      const answer = await session.client.call(options["pending"] === true ? "packs.pending" : "packs.list", { query });
      return session.finish(answer, ({ packs }) => {
        if (packs.length === 0) session.line(session.say("pack.none"));
        else for (const line of table(["PACK", "STATUS", "VERSION", "DIGEST"], packs.map(packRow))) session.line(line);
        const waiting = packs.find((item) => item.status === "installed" || item.status === "modified");
        if (waiting !== undefined) session.line(`\n${session.say("cli.next")}: rumi pack review ${packLine(waiting.pack_id)}`);
      });
    },
  );

  act(pack.command("status <id>").description("how one pack stands"), async (session, [id = ""]) =>
    session.finish(await session.client.call("packs.status", { params: { id } }), (state) => {
      session.line(session.bold(`${packLine(state.pack_id)}  ${state.status}${state.enabled ? "" : "  (disabled)"}`));
      if (state.reason !== null) session.line(`  ${session.say("pack.reason")}  ${packLine(state.reason)}`);
      session.line(`  ${session.say("pack.live")}  ${shortDigest(state.live_digest)}`);
      session.line(`  ${session.say("pack.approved")}  ${shortDigest(state.approved_digest)}  ${state.approved_at ?? ""}`.trimEnd());
      session.line(`  ${session.say("pack.network")}  ${session.say(state.network_enabled ? "pack.network_on" : "pack.network_off")}`);
      for (const problem of state.problems)
        session.line(`  ${problem.severity ?? "error"}  ${packLine(problem.code)}  ${packLine(problem.message)}`);
    }),
  );

  act(pack.command("scan").description("look at every pack folder now"), async (session) =>
    session.finish(await session.client.call("packs.scan"), (found) => {
      session.line(session.say("pack.scanned", { count: found.scanned }));
      if (Array.isArray(found.changed)) for (const item of found.changed) session.line(`  ${packValue(item)}`);
    }),
  );

  act(
    pack.command("review <id>").description("what an approval would say yes to; on a terminal decide with one key"),
    async (session, [id = ""]) => {
      const answer = await session.client.call("packs.review", { params: { id } });
      const exitCode = session.finish(answer, (review) => {
        showReview(session, review);
      });
      if (!answer.ok || session.json) return exitCode;
      if (session.world.interactive) return await askForDecision(session, answer.data);
      const next = nextCommand(answer.data);
      session.line(`${session.say("cli.next")}: ${next}`);
      const wishes = (answer.data.declared_grants ?? []).some((right) => right.config !== null && right.held !== true);
      if (wishes && next.startsWith("rumi pack approve ")) session.line(`${session.say("review.with_rights")}: ${next} --grant`);
      return exitCode;
    },
  );

  act(
    pack
      .command("approve <id>")
      .description("approve exactly the bytes shown; without a terminal give --yes and --digest")
      .option("--digest <digest>", "the digest that was reviewed")
      .option("--yes", "do not ask; needs --digest")
      .option("--grant", "also give what the pack declares, but no * and no private address")
      .option("--unblock", "also lift an earlier rejection")
      .option("--notes <text>", "kept in the record"),
    async (session, [id = ""], options) => {
      const digest = options["digest"] as string | undefined;
      if (options["yes"] === true && digest === undefined) throw new UsageError(session.say("pack.yes_needs_digest"));
      const extra = {
        ...(options["unblock"] === true ? { unblock: true } : {}),
        ...(options["grant"] === true ? { grant_declared: true } : {}),
        ...(typeof options["notes"] === "string" ? { notes: options["notes"] } : {}),
      };
      if (options["yes"] === true && digest !== undefined) return await approve(session, id, digest, extra);
      if (!session.world.interactive || session.json) throw new UsageError(session.say("pack.approve_needs_yes"));
      const answer = await session.client.call("packs.review", { params: { id } });
      const exitCode = session.finish(answer, (review) => {
        showReview(session, review);
      });
      return answer.ok ? await askForDecision(session, answer.data, { ...extra, ...(digest === undefined ? {} : { digest }) }) : exitCode;
    },
  );

  act(
    pack.command("reject <id>").description("block a pack").option("--reason <text>", "kept in the record"),
    async (session, [id = ""], options) => await reject(session, id, options["reason"] as string | undefined),
  );

  act(
    pack.command("validate [id]").description("every problem of one pack, or of all, with its place"),
    async (session, [id]) => await validatePacks(session, id),
  );

  for (const verb of ["enable", "disable"] as const) {
    act(
      pack.command(`${verb} <id>`).description(verb === "enable" ? "let a disabled pack run again" : "refuse every call of a pack"),
      async (session, [id = ""]) =>
        session.finish(await session.client.call(`packs.${verb}`, { params: { id } }), () => {
          session.line(session.say(`pack.${verb}d`, { pack_id: packLine(id) }));
        }),
    );
  }
}

function packRow(pack: PackSummary): string[] {
  return [pack.pack_id, pack.enabled ? pack.status : `${pack.status} (disabled)`, pack.version ?? "-", shortDigest(pack.digest)];
}

/** What to type after a review: nothing is left to approve when these bytes are the approved ones. */
function nextCommand(review: PackReview): string {
  if (review.status === "approved" && review.digest === review.base_digest) return "rumi flow list";
  if (review.status === "error" || review.digest === null) return `rumi pack validate ${packLine(review.pack_id)}`;
  const unblock = review.status === "blocked" ? " --unblock" : "";
  return `rumi pack approve ${packLine(review.pack_id)} --yes --digest ${review.digest}${unblock}`;
}

interface ApproveExtra {
  readonly unblock?: boolean;
  readonly grant_declared?: boolean;
  readonly notes?: string;
  /** A digest the person named; the one shown has to be it. */
  readonly digest?: string;
}

async function approve(session: Session, id: string, digest: string, extra: Omit<ApproveExtra, "digest">): Promise<number> {
  const answer = await session.client.call("packs.approve", { params: { id }, body: { expected_digest: digest, ...extra } });
  return session.finish(answer, (done) => {
    session.line(session.say("pack.approved_done", { pack_id: packLine(done.pack_id), digest: shortDigest(done.digest) }));
    for (const right of done.granted ?? []) session.line(`  + ${grantedText(right)}`);
    for (const store of done.stores_created ?? []) session.line(`  ${session.say("pack.store_created")}: ${packValue(store)}`);
    for (const warning of done.warnings) session.line(`  ${session.say("review.warning")}: ${warningText(warning)}`);
  });
}

/** One given right: its permission and limits. */
function grantedText(right: unknown): string {
  if (typeof right !== "object" || right === null || !("permission_id" in right)) return packValue(right);
  return packLine(`${String(right.permission_id)}  ${limitsText("config" in right ? right.config : null)}`);
}

async function reject(session: Session, id: string, reason: string | undefined): Promise<number> {
  const answer = await session.client.call("packs.reject", { params: { id }, body: reason === undefined ? {} : { reason } });
  return session.finish(answer, (done) => {
    session.line(session.say("pack.rejected_done", { pack_id: packLine(done.pack_id) }));
  });
}

/** Keys `d` diff, `a` approve the digest shown, `g` approve it and give what is declared, `r` reject, `q` leave. */
async function askForDecision(session: Session, review: PackReview, extra: ApproveExtra = {}): Promise<number> {
  const { digest: named, ...rest } = extra;
  for (;;) {
    session.line(session.say("review.keys"));
    const key = await session.world.readKey();
    if (session.world.interrupted.aborted || key === "\u0003") return EXIT.interrupted;
    switch (key) {
      case "d":
        showDiff(session, review);
        break;
      case "a":
      case "g": {
        if (review.digest === null) return session.refuse(EXIT.failed, "approval.invalid_pack", session.say("pack.not_approvable"));
        if (named !== undefined && named !== review.digest) {
          return session.refuse(
            EXIT.conflict,
            "approval.digest_moved",
            session.say("error.approval.digest_moved"),
            `rumi pack review ${review.pack_id}`,
          );
        }
        return await approve(session, review.pack_id, review.digest, key === "g" ? { ...rest, grant_declared: true } : rest);
      }
      case "r":
        return await reject(session, review.pack_id, undefined);
      case "q":
        return EXIT.done;
      default:
        break;
    }
  }
}

import { ROUTE_VERBS, workingRemedy } from "@rumi/api/client";
import type { Command } from "commander";
import { packLine, safeJson } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { remedyOf } from "../session.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi status`, `diagnostics` and the verbs that run `rumid`. */
export function addDaemonVerbs(program: Command, act: Act): void {
  act(
    program
      .command("status", { isDefault: true })
      .description("mode, engine, what waits, and what to type next")
      .option("--openapi", "print the API's OpenAPI document"),
    async (session, _, options) => {
      if (options["openapi"] === true) {
        return session.finish(await session.client.call("openapi"), (data) => {
          session.line(safeJson(data, 2));
        });
      }
      return await showStatus(session);
    },
  );

  act(
    program
      .command("diagnostics")
      .description("how every part is")
      .option("--pack <id>", "only of this pack")
      .option("--level <status>", "ok, degraded, disabled or failed")
      .option("--since <time>", "UTC ISO time"),
    async (session, _, options) => {
      const query = {
        pack_id: options["pack"] as string | undefined,
        level: options["level"] as string | undefined,
        since: options["since"] as string | undefined,
      };
      return session.finish(await session.client.call("diagnostics", { query }), ({ parts }) => {
        if (parts.length === 0) session.line(session.say("diagnostics.none"));
        for (const part of parts) session.line(partLine(part));
      });
    },
  );

  act(
    program
      .command("start")
      .description("run the daemon in the foreground")
      .option("--permissive", "development: allow blocks outside a strict sandbox")
      .option("--headless", "accepted; there is no other way"),
    async (session, _, options) => {
      const args = ["start", ...(options["permissive"] === true ? ["--permissive"] : []), ...(session.json ? ["--json"] : [])];
      // The daemon's own envelope, when it is ready or gave up, goes straight to stdout.
      const end = await session.world.runDaemon(args, { captureStdout: false });
      return end.exitCode;
    },
  );

  for (const [verb, description] of [
    ["init", "make the folders and keys; never overwrites"],
    ["doctor", "check everything and say what to type"],
    ["check", "doctor's machine part"],
  ] as const) {
    act(program.command(verb).description(description), async (session) => await runOffline(session, verb));
  }
}

async function showStatus(session: Session): Promise<number> {
  const answer = await session.client.call("status");
  const { say } = session;
  if (!answer.ok || session.json) return session.finish(answer, () => undefined);
  const engine = await session.client.call("docker.status");
  const pending = await session.client.call("packs.pending", { query: { limit: 1000 } });
  return session.finish(answer, (status) => {
    session.line(`Rumi ${packLine(status.version)}  ${session.target.url}`);
    const mode = `${say("status.mode")}  ${status.mode}`;
    session.line(status.mode === "permissive" ? session.red(mode) : mode);
    if (engine.ok) {
      session.line(
        `${say("status.isolation")}  ${engine.data.available ? say("status.available", { adapter: adapterText(engine.data) }) : session.red(say("error.sandbox.docker_required"))}`,
      );
      if (engine.data.remedy !== null) session.line(`  ${say("cli.remedy")}: ${packLine(engine.data.remedy)}`);
    }
    for (const warning of status.warnings) session.line(session.red(`  ${packLine(warning)}`));
    const waiting = pending.ok ? pending.data.packs : [];
    session.line(`${say("status.pending")}  ${waiting.length}`);
    const faulty = faultyPacks(status.counts);
    if (faulty > 0) session.line(`${say("status.faulty")}  ${faulty}: rumi pack validate`);
    const [first] = waiting;
    session.line(`\n${say("cli.next")}: ${first === undefined ? "rumi flow list" : `rumi pack review ${packLine(first.pack_id)}`}`);
  });
}

/** The adapter and what it runs on: `docker 28.2.2, runc`, `bubblewrap 0.8.0`. */
function adapterText({ adapter, engine }: { readonly adapter?: string | undefined; readonly engine: unknown }): string {
  const { version, oci_runtime: runtime } = (typeof engine === "object" && engine !== null ? engine : {}) as Record<string, unknown>;
  const named = [adapter ?? "docker", ...(typeof version === "string" ? [version] : [])].join(" ");
  return packLine(typeof runtime === "string" ? `${named}, ${runtime}` : named);
}

/** How many packs the daemon counts as ones that cannot be approved. */
function faultyPacks(counts: unknown): number {
  const { packs } = (typeof counts === "object" && counts !== null ? counts : {}) as { readonly packs?: { readonly error?: unknown } };
  return typeof packs?.error === "number" ? packs.error : 0;
}

function partLine(part: unknown): string {
  const { kind, id, status, message, remedy } = (typeof part === "object" && part !== null ? part : {}) as Record<string, unknown>;
  return [status, kind, id, message, remedy]
    .filter((item) => typeof item === "string")
    .map((item) => packLine(item))
    .join("  ");
}

interface Check {
  readonly id?: unknown;
  readonly status?: unknown;
  readonly message?: unknown;
  readonly remedy?: unknown;
}

/** Runs `rumid <verb> --json` and shows its answer: an envelope, or bare data. */
async function runOffline(session: Session, verb: string): Promise<number> {
  const end = await session.world.runDaemon([verb, "--json"], { captureStdout: true });
  let read: unknown;
  try {
    read = JSON.parse(end.stdout) as unknown;
  } catch {
    return session.refuse(EXIT.failed, "cli.daemon_program", session.say("daemon.no_answer", { verb }));
  }
  const envelope = (
    typeof read === "object" && read !== null && "success" in read
      ? read
      : { success: end.exitCode === 0, data: read, error: null, code: null }
  ) as {
    readonly success: boolean;
    readonly data: unknown;
    readonly error: string | null;
    readonly code: string | null;
  };
  if (session.json) session.envelope(envelope as never);
  else if (verb === "init" && envelope.success) showInit(session, envelope.data);
  else showChecks(session, envelope.data);
  if (envelope.error !== null) session.refusal(envelope.error, envelope.code ?? "cli.failed", remedyOf(envelope.data));
  return end.exitCode;
}

function showInit(session: Session, data: unknown): void {
  const { home, key } = data as { readonly home?: unknown; readonly key?: unknown };
  const place = { home: packLine(typeof home === "string" ? home : "") };
  session.line(session.say(key === "kept" ? "init.kept" : "init.created", place));
  session.line(`${session.say("cli.next")}: rumi start`);
}

function showChecks(session: Session, data: unknown): void {
  const checks = Array.isArray(data) ? (data as readonly Check[]) : (data as { readonly checks?: readonly Check[] } | null)?.checks;
  if (checks === undefined) {
    if (data !== null && data !== undefined) session.line(safeJson(data, 2));
    return;
  }
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const lines = table(
    ["CHECK", "STATUS", ""],
    checks.map((check) => [text(check.id), text(check.status), text(check.message)]),
  );
  for (const [index, line] of lines.entries()) {
    const check = checks[index - 1];
    session.line(check?.status === "fail" ? session.red(line) : line);
    const remedy = check === undefined || check.status === "ok" ? null : checkRemedy(session, check);
    if (remedy !== null) session.line(`    ${session.say("cli.remedy")}: ${packLine(remedy)}`);
  }
}

/** What mends a check; a lost key has no verb, only the operator's own copy of it. */
function checkRemedy(session: Session, check: Check): string | null {
  if (typeof check.remedy !== "string") return null;
  const works = workingRemedy("cli.failed", check.remedy, {}, ROUTE_VERBS);
  return works ?? (check.id === "keys" ? session.say("doctor.key_lost") : null);
}

import { setTimeout as wait } from "node:timers/promises";
import { ClientError } from "@rumi/api/client";
import type { StreamEvent } from "@rumi/api/client";
import { packLine, packValue, safeJson } from "./escape.ts";
import { EXIT } from "./exit-codes.ts";
import type { Session } from "./session.ts";

/** How often a stream that was cut is opened again without anything new having come, and what is waited between, ms. */
const MAX_TRIES = 5;
const RETRY_MS = 500;

/** What is shown of a run's events. */
export interface FollowOptions {
  /** Only events of this kind. */
  readonly only?: string;
  /** Only lines of this step. */
  readonly step?: string;
}

/**
 * Shows the events of a run until it ends, one line each; a cut connection is taken up again where it was. Gives 0 for a run
 * that completed or aborted, else the code of how it or the stream ended.
 */
export async function followRun(session: Session, id: string, options: FollowOptions = {}): Promise<number> {
  let lastEventId: number | undefined;
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    if (tries > 0) await wait(RETRY_MS, undefined, { signal: session.world.interrupted });
    const answer = await openStream(session, id, lastEventId);
    if (answer === null) continue;
    if (!answer.ok) return session.finish(answer, () => undefined);
    for await (const event of answer.events) {
      if (event.id !== undefined) [lastEventId, tries] = [event.id, 0];
      const end = endOf(session, id, event);
      if (event.id !== undefined) show(session, event, options);
      if (end !== null) return end();
    }
    session.world.interrupted.throwIfAborted();
  }
  throw new ClientError("client.unreachable", "the daemon does not answer any more");
}

/** Null when a daemon that answered before does not: it may come back. */
async function openStream(session: Session, id: string, lastEventId: number | undefined) {
  try {
    return await session.client.stream("runs.events", {
      params: { id },
      signal: session.world.interrupted,
      ...(lastEventId === undefined ? {} : { lastEventId }),
    });
  } catch (error) {
    if (lastEventId === undefined || session.world.interrupted.aborted || !(error instanceof ClientError)) throw error;
    return null;
  }
}

/** The exit code that an event ends the verb with, and what is said beside it; null for one that ends nothing. */
function endOf(session: Session, id: string, { event, data }: StreamEvent): (() => number) | null {
  switch (event) {
    case "run.finished":
      return () =>
        data["state"] === "completed" || data["state"] === "aborted"
          ? EXIT.done
          : data["state"] === "timed_out"
            ? EXIT.timeout
            : EXIT.failed;
    case "token.expired":
      return () => session.refuse(EXIT.refused, "auth.required", session.say("run.token_expired"), "rumi token show");
    case "daemon.stopping":
      return () =>
        session.refuse(EXIT.unreachable, "daemon.stopping", session.say("error.daemon.stopping"), `rumi run watch ${packLine(id)}`);
    default:
      return null;
  }
}

function show(session: Session, { id, event, data }: StreamEvent, { only, step }: FollowOptions): void {
  if (only !== undefined && event !== only) return;
  if (step !== undefined && data["step_id"] !== step) return;
  if (session.json) {
    session.world.stdout(`${safeJson({ id, event, data })}\n`);
    return;
  }
  const { ts, path, step_id, text, stream: _stream, ...facts } = data;
  const rest = Object.entries(facts).flatMap(([name, value]) => (value === null ? [] : [`${name}=${packValue(value)}`]));
  const words = only === undefined ? [ts, event, path ?? step_id, text, ...rest] : [ts, step_id, text];
  session.line(
    packLine(
      words
        .filter((word) => word !== undefined)
        .map((word) => packValue(word))
        .join("  "),
    ),
  );
}

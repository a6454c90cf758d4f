import type { AnswerHead, AnswerSink } from "./answer-sink.ts";
import { BodyBroken, BodyTooLarge, codingsOf, decodedBody } from "./body-coding.ts";
import type { HopAnswer } from "./exchange.ts";
import { upstreamFault } from "./exchange.ts";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { headerValue, isProxyOwned } from "./header-rules.ts";
import type { ResponseScrubber } from "./ports.ts";
import type { HeaderPair, Method } from "./request-message.ts";

/** How one answer is passed on. */
export interface AnswerWay {
  readonly method: Method;
  readonly hops: number;
  readonly finalUrl: string;
  readonly maxBytes: number;
  /** Null where no secret is bound to the host. */
  readonly scrubber: ResponseScrubber | null;
  /** Told of decoded bytes as they come. */
  readonly count: (bytes: number) => void;
}

/** Statuses whose answer has no body, whatever its headers say. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** Rules 11 and 12: passes the answer on, decoded, within its limit, without secrets. Null when it came whole. */
export async function passAnswer(answer: HopAnswer, way: AnswerWay, sink: AnswerSink): Promise<Fault | null> {
  const { scrubber } = way;
  const bodiless = way.method === "HEAD" || BODILESS.has(answer.status);
  const codings = bodiless ? [] : codingsOf(headerValue(answer.headers, "content-encoding"));
  if (codings === null && scrubber !== null) {
    return fault("blocked", 12, "Response withheld: its encoding cannot be searched for secrets");
  }
  const decoded = codings !== null && codings.length > 0;
  const length = Number(headerValue(answer.headers, "content-length") ?? "0");
  if (!bodiless && length > way.maxBytes) return tooLarge(way.maxBytes);
  const changed = decoded || (scrubber !== null && !bodiless);
  const head: AnswerHead = {
    status: answer.status,
    headers: passedHeaders(answer.headers, changed, decoded, scrubber),
    hops: way.hops,
    finalUrl: scrubber === null ? way.finalUrl : scrubber.text(way.finalUrl),
  };
  await sink.head(head);
  let rest: Uint8Array | undefined;
  try {
    for await (const chunk of decodedBody(answer.body as AsyncIterable<Uint8Array>, codings ?? [], way.maxBytes)) {
      way.count(chunk.length);
      const safe = scrubber === null ? chunk : scrubber.push(chunk);
      if (safe.length > 0) await sink.chunk(safe);
    }
  } catch (error) {
    if (error instanceof BodyTooLarge) return tooLarge(way.maxBytes);
    if (error instanceof BodyBroken) return fault("connection_lost", 11, "The body was cut short or does not decode");
    return upstreamFault(error);
  } finally {
    // Also of an answer that was cut: the piece of a secret that it ended with counts.
    rest = scrubber?.end();
  }
  if (rest !== undefined && rest.length > 0) await sink.chunk(rest);
  return null;
}

function tooLarge(maxBytes: number): Fault {
  return fault("response_too_large", 11, `The answer is over ${maxBytes} bytes`);
}

/** The headers that a pack sees. `changed`: the body's length is another one; `decoded`: its coding is undone. */
function passedHeaders(
  headers: readonly HeaderPair[],
  changed: boolean,
  decoded: boolean,
  scrubber: ResponseScrubber | null,
): HeaderPair[] {
  const passed: HeaderPair[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (lower === "content-length" ? changed : isProxyOwned(lower)) continue;
    if (lower === "content-encoding" && decoded) continue;
    // A name that holds a secret is left out: whatever it would be called then says nothing.
    if (scrubber !== null && scrubber.text(name) !== name) continue;
    passed.push([name, scrubber === null ? value : scrubber.text(value)]);
  }
  return passed;
}

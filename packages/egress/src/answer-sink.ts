import { Buffer, isUtf8 } from "node:buffer";
import type { Fault } from "./fault.ts";
import { joinHeaders } from "./header-rules.ts";
import type { HttpAnswer, StreamFrame } from "./http-answer.ts";
import type { HeaderPair } from "./request-message.ts";

/** The head of the answer that a pack gets. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly hops: number;
  readonly finalUrl: string;
}

/** Where an answer goes, piece by piece. The upstream waits for what it returns. */
export interface AnswerSink {
  head(head: AnswerHead): void | Promise<void>;
  chunk(bytes: Uint8Array): void | Promise<void>;
}

/** Says that a body is base64. Source: page "Execution", section 9. */
const BODY_ENCODING_HEADER = "x-proxy-body-encoding";

/** Keeps a whole answer, for one that is given in one piece. */
export class WholeAnswer implements AnswerSink {
  #head: AnswerHead | null = null;
  readonly #chunks: Uint8Array[] = [];

  head(head: AnswerHead): void {
    this.#head = head;
  }

  chunk(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
  }

  /** The answer as it is now; with a fault, what came before it is not shown. */
  answer(end: {
    readonly fault: Fault | null;
    readonly url: string;
    readonly hops: number;
    readonly bytes: number;
    readonly ms: number;
  }): HttpAnswer {
    const headers = this.#head === null ? {} : joinHeaders(this.#head.headers);
    // A pack cannot make its own header look like the proxy's.
    delete headers[BODY_ENCODING_HEADER];
    let body = "";
    if (end.fault === null) {
      const bytes = this.#chunks.length === 1 ? Buffer.from(this.#chunks[0] ?? []) : Buffer.concat(this.#chunks);
      if (isUtf8(bytes)) body = bytes.toString("utf8");
      else {
        body = bytes.toString("base64");
        headers[BODY_ENCODING_HEADER] = "base64";
      }
    }
    return closingAnswer(end, this.#head, headers, body);
  }
}

/** An answer's closing facts. */
export function closingAnswer(
  end: { readonly fault: Fault | null; readonly url: string; readonly hops: number; readonly bytes: number; readonly ms: number },
  head: AnswerHead | null,
  headers: { readonly [name: string]: string },
  body: string,
): HttpAnswer {
  return {
    success: end.fault === null,
    status_code: head?.status ?? 0,
    headers,
    body,
    error: end.fault?.text ?? null,
    error_type: end.fault?.fault ?? null,
    latency_ms: Math.round(end.ms * 1000) / 1000,
    redirect_hops: end.hops,
    bytes_read: end.bytes,
    final_url: head?.finalUrl ?? end.url,
  };
}

/** Gives an answer on as it comes, one frame per piece. */
export class StreamedAnswer implements AnswerSink {
  readonly #send: (frame: StreamFrame) => Promise<void>;
  /** The head that was given. */
  last: AnswerHead | null = null;

  constructor(send: (frame: StreamFrame) => Promise<void>) {
    this.#send = send;
  }

  head(head: AnswerHead): Promise<void> {
    this.last = head;
    return this.#send({
      type: "head",
      status_code: head.status,
      headers: joinHeaders(head.headers),
      redirect_hops: head.hops,
      final_url: head.finalUrl,
    });
  }

  chunk(bytes: Uint8Array): Promise<void> {
    return this.#send({ type: "chunk", body_base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64") });
  }
}

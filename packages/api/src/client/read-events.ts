import type { JsonObject } from "@rumi/core";
import type { StreamEvent } from "../event-stream.ts";

/** Longest event that is read, characters. A stream with a longer one is no daemon's. */
const MAX_EVENT_LENGTH = 16 * 1024 * 1024;

/** The events of a body, each when it is whole. Ends with the body, when it is cut, and when `signal` aborts; one that is not whole is not given. */
export async function* readEvents(body: ReadableStream<Uint8Array>, signal?: AbortSignal): AsyncGenerator<StreamEvent> {
  const reader = body.getReader();
  const leave = (): void => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", leave, { once: true });
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (signal?.aborted !== true) {
      const read = await reader.read().catch(() => null);
      if (read === null || read.done) return;
      text += decoder.decode(read.value, { stream: true });
      const blocks = text.split(/\r?\n\r?\n/u);
      text = blocks.pop() ?? "";
      if (text.length > MAX_EVENT_LENGTH) return;
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    signal?.removeEventListener("abort", leave);
    leave();
  }
}

/** One event of its lines; null for a comment, or what is no event of ours. */
function parseEvent(block: string): StreamEvent | null {
  let id: number | undefined;
  let event = "message";
  const data: string[] = [];
  for (const line of block.split(/\r?\n/u)) {
    const [, name, value = ""] = /^(\w+): ?(.*)$/su.exec(line) ?? [];
    if (name === "id" && /^\d{1,15}$/u.test(value)) id = Number(value);
    else if (name === "event") event = value;
    else if (name === "data") data.push(value);
  }
  if (data.length === 0) return null;
  try {
    return { ...(id === undefined ? {} : { id }), event, data: JSON.parse(data.join("\n")) as JsonObject };
  } catch {
    return null;
  }
}

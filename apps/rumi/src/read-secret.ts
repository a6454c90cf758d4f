import type { Readable } from "node:stream";

/** Most bytes that are read as a value; the daemon accepts far less. */
const MAX_BYTES = 1024 * 1024;
/** What is still coming of a paste after its first line is swallowed for so long, so that no shell gets it. */
const PASTE_MS = 150;

/** A terminal as far as a hidden prompt needs one. */
export interface HiddenInput extends Readable {
  setRawMode(raw: boolean): unknown;
}

/**
 * All of a stream as text, without the one line end that a shell's `echo` or an editor puts there.
 * Null when it is empty, not UTF-8 or larger than a mebibyte.
 */
export async function readPiped(stdin: AsyncIterable<Uint8Array | string>): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const piece = Buffer.from(chunk);
    bytes += piece.byteLength;
    if (bytes > MAX_BYTES) return null;
    chunks.push(piece);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
    return text === "" ? null : text.replace(/\r?\n$/u, "");
  } catch {
    return null;
  }
}

/** One line of a person, shown nowhere. Null when it is empty, has more lines than one, or was given up with Ctrl-C or Ctrl-D. */
export function readHidden(
  stdin: HiddenInput,
  deps: { readonly prompt: () => void; readonly done: () => void; readonly interrupt: () => void },
): Promise<string | null> {
  return new Promise((resolve) => {
    let line = "";
    let ended = false;
    let more = false;
    const finish = (value: string | null): void => {
      stdin.off("data", onData).setRawMode(false);
      stdin.pause();
      deps.done();
      resolve(value);
    };
    const onData = (data: string): void => {
      for (const character of data) {
        if (character === "\u0003") {
          deps.interrupt();
          finish(null);
          return;
        }
        if (ended) more ||= character !== "\n" && character !== "\r";
        else if (character === "\r" || character === "\n") end();
        else if (character === "\u0004") {
          finish(null);
          return;
        } else if (character === "\u007f" || character === "\b") line = line.replace(/.$/su, "");
        else if (character === "\u0015") line = "";
        else if (line.length < MAX_BYTES) line += character;
      }
    };
    const end = (): void => {
      ended = true;
      setTimeout(() => {
        finish(more || line === "" ? null : line);
      }, PASTE_MS);
    };
    stdin.setEncoding("utf8");
    stdin.setRawMode(true);
    deps.prompt();
    stdin.on("data", onData).resume();
  });
}

import { randomBytes, randomInt } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { SPELLINGS } from "@rumi/secrets/testing";

/** Stands in the middle of each value, so that one search finds all of them. No other text of a home holds it, in any spelling. */
export const MARK = "Zq7XkVw2pJ9s";

const LETTERS = Array.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
const OTHERS = Array.from(" -_./+=:;,!?@#$%^&*()[]{}<>|~'\"\\\u00e4\u00df\u65e5\u672c\u{1f600}");

/** Values as operators have them and as nobody has them, each with the mark. */
export function markedValues(count: number): string[] {
  return Array.from({ length: count }, (_, at) => {
    const kind = at % 4;
    const part = (): string =>
      Array.from({ length: randomInt(4, 20) }, () => {
        const from = kind === 3 && randomInt(3) === 0 ? OTHERS : LETTERS;
        return from[randomInt(from.length)] ?? "x";
      }).join("");
    const own = randomBytes(4).toString("hex");
    if (kind === 1) return `sk-live-${own}${MARK}${part()}`;
    if (kind === 2) return `-----BEGIN KEY-----\n${part()}${own}${part()}\n${part()}${MARK}${part()}\n-----END KEY-----`;
    return `${part()}${own}${MARK}${part()}`;
  });
}

/** The mark as somebody may have written it: of base64, only the digits that it decides by itself. */
const NEEDLES: readonly Buffer[] = SPELLINGS.flatMap(({ name, write }) => {
  if (!name.startsWith("base64")) return [Buffer.from(write(MARK) as string)];
  const text = String(write(MARK));
  return [Buffer.from(text.slice(4, 4 + Math.floor((MARK.length * 8 - 12) / 6) - 1))];
});

/** The spelling in which `bytes` hold the mark; null when they do not. */
export function markIn(bytes: Uint8Array): string | null {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return NEEDLES.find((needle) => whole.includes(needle))?.toString() ?? null;
}

/** Files below `folder` that hold the mark. */
export async function filesWithMark(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    if (markIn(bytes) !== null || markIn(Buffer.from(path)) !== null) found.push(path);
  }
  return found;
}

/** Processes of this machine whose arguments or environment hold the mark. */
export async function processesWithMark(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^[0-9]+$/u.test(pid)) continue;
    for (const file of ["cmdline", "environ", "comm"]) {
      const bytes = await readFile(`/proc/${pid}/${file}`).catch(() => Buffer.alloc(0));
      if (markIn(bytes) !== null) found.push(`${pid} ${file}`);
    }
  }
  return found;
}

import { PassThrough, Readable } from "node:stream";
import { expect, test } from "vitest";
import { readHidden, readPiped } from "./read-secret.ts";
import type { HiddenInput } from "./read-secret.ts";

async function typed(...chunks: string[]): Promise<{ value: string | null; raw: boolean[]; interrupted: boolean }> {
  const raw: boolean[] = [];
  let interrupted = false;
  const stdin = Object.assign(new PassThrough(), { setRawMode: (on: boolean) => raw.push(on) }) as unknown as HiddenInput;
  const value = readHidden(stdin, {
    prompt: () => undefined,
    done: () => undefined,
    interrupt: () => {
      interrupted = true;
    },
  });
  for (const chunk of chunks) (stdin as unknown as PassThrough).write(chunk);
  return { value: await value, raw, interrupted };
}

test("one hidden line is read in raw mode, which ends with it; backspace and Ctrl-U mend it", async () => {
  expect(await typed("sk-", "12345678", "\r")).toEqual({ value: "sk-12345678", raw: [true, false], interrupted: false });
  expect((await typed("abX\u007fcd\r")).value).toBe("abcd");
  expect((await typed("wrong\u0015right\n")).value).toBe("right");
  expect((await typed("日本\b語です\r")).value).toBe("日語です");
});

test("nothing, Ctrl-D and Ctrl-C give no value", async () => {
  expect((await typed("\r")).value).toBe(null);
  expect((await typed("abc\u0004")).value).toBe(null);
  expect(await typed("abc\u0003")).toEqual({ value: null, raw: [true, false], interrupted: true });
});

test("a paste of several lines is no value, and none of it is left for the shell", async () => {
  expect((await typed("-----BEGIN KEY-----\rMIIE", "vQIB\r-----END KEY-----\r")).value).toBe(null);
  expect((await typed("one line\r\n")).value).toBe("one line");
});

test("piped bytes are the value, without one line end; what is no text, or nothing, is none", async () => {
  const piped = (...chunks: (string | Buffer)[]) => readPiped(Readable.from(chunks.map((chunk) => Buffer.from(chunk))));
  expect(await piped("sk-1", "23\n")).toBe("sk-123");
  expect(await piped("a\nb\n\n")).toBe("a\nb\n");
  expect(await piped("a\r\n")).toBe("a");
  expect(await piped(" spaces stay ")).toBe(" spaces stay ");
  expect(await piped(Buffer.from("日本語"))).toBe("日本語");
  expect(await piped(Buffer.from([0xff, 0xfe]))).toBe(null);
  expect(await piped("")).toBe(null);
  expect(await piped("x".repeat(600_000), "x".repeat(600_000))).toBe(null);
});

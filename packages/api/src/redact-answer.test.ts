import { expect, test } from "vitest";
import { redactAnswer, redactInTurns } from "./redact-answer.ts";

const mask = (text: string): string => text.replaceAll("hunter2", "[REDACTED]").replaceAll("4711", "[REDACTED]");

test("every text is masked, names and numbers too; what nothing is masked in stays the same object", async () => {
  const clean = { a: [1, "x", null], b: { c: true } };
  const dirty = { list: ["hunter2", clean], "the hunter2": 1, n: 14711, kept: clean };
  for (const redact of [redactAnswer, redactInTurns]) {
    expect(await redact(clean, mask)).toBe(clean);
    const masked = (await redact(dirty, mask)) as typeof dirty;
    expect(masked).toEqual({ list: ["[REDACTED]", clean], "the [REDACTED]": 1, n: "1[REDACTED]", kept: clean });
    expect(masked.kept).toBe(clean);
  }
});

test("a name that objects have of themselves stays a name", () => {
  const value = JSON.parse('{"__proto__": {"x": "hunter2"}}') as unknown;
  expect(JSON.stringify(redactAnswer(value, mask))).toBe('{"__proto__":{"x":"[REDACTED]"}}');
});

test("an answer of many texts lets others have their turn", async () => {
  const turns: string[] = [];
  const slow = (text: string): string => {
    const until = performance.now() + 0.1;
    while (performance.now() < until);
    return text;
  };
  const many = Array.from({ length: 2000 }, (_, index) => `text ${index}`);
  setImmediate(() => turns.push("another"));
  await redactInTurns(many, slow).then(() => turns.push("masked"));
  expect(turns).toEqual(["another", "masked"]);
});

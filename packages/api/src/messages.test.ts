import { expect, test } from "vitest";
import { fillMessage, parseMessages, preferredLanguage } from "./messages.ts";

test("a message file is key=value with comments, line breaks and holes", () => {
  const messages = parseMessages("# c\na=b = c\\nd\nno line\n=x\na=second\n");
  expect([...messages]).toEqual([["a", "b = c\nd"]]);
  expect(fillMessage("{x} {y} {z}", { x: 1, y: "b" })).toBe("1 b {z}");
});

test.each([
  [null, "en"],
  ["ja", "ja"],
  ["fr, ja;q=0.4, en;q=0.3", "ja"],
  ["en-GB,ja", "en"],
  ["*;q=1, zz", "en"],
  ["ja;q=abc", "en"],
] as const)("Accept-Language %s gives %s", (header, language) => {
  expect(preferredLanguage(header)).toBe(language);
});

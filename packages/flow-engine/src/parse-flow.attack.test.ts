import { expect, test } from "vitest";
import { parseFlow } from "./parse-flow.ts";

const MIB = 1024 * 1024;

test.each([
  ["open brackets", "[".repeat(MIB)],
  ["block sequences", "- ".repeat(MIB / 2)],
  ["explicit keys", "? ".repeat(MIB / 2)],
  ["quotes", '"'.repeat(MIB)],
  ["apostrophes", "' ".repeat(MIB / 2)],
  ["anchors", "&a ".repeat(MIB / 3)],
  ["tags", "!a ".repeat(MIB / 3)],
  ["directives", "%a\n".repeat(MIB / 3)],
  ["documents", "---\n".repeat(MIB / 4)],
  ["commas", `[${",".repeat(MIB - 2)}]`],
  ["bad escapes", `a: "${"\\q".repeat(MIB / 2 - 10)}"`],
  ["many keys", Array.from({ length: 90_000 }, (_, index) => `k${index}: 1`).join("\n")],
])("a mebibyte of %s is refused as too much structure", (_, text) => {
  const parsed = parseFlow(text, { source: "shared", pack_id: null, file: "x.flow.yaml" });
  expect(parsed.flow).toBeNull();
  expect(parsed.problems.some((problem) => problem.code === "flow.too_complex" || problem.code === "flow.parse_error")).toBe(true);
  expect(parsed.problems.length).toBeLessThanOrEqual(200);
});

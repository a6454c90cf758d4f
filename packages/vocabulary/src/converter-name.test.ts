import { expect, test } from "vitest";
import { parseConverterName } from "./converter-name.ts";

test.each([
  ["tool_to_function_calling.py", { from: "tool", to: "function_calling" }],
  ["a_to_b_to_c.ts", { from: "a", to: "b_to_c" }],
  ["A_to_B.mjs", { from: "a", to: "b" }],
  ["_to_b.py", null],
  ["_to_to_b.py", null],
  ["a_to_.js", null],
  ["a_to_b.rb", null],
  ["a_to_b", null],
  ["ab.py", null],
  ["x/a_to_b.py", null],
  [`${"a".repeat(101)}_to_b.py`, null],
] as const)("%s goes between %o", (file, name) => {
  expect(parseConverterName(file)).toEqual(name);
});

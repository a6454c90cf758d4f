import { expect, test } from "vitest";
import { canonicalJson } from "./json.ts";

test("canonical JSON sorts keys and keeps no blanks", () => {
  expect(canonicalJson({ b: 1, a: [true, null, "日"] })).toBe('{"a":[true,null,"日"],"b":1}');
});

import { expect, test } from "vitest";
import * as v from "valibot";
import { FunctionJson } from "./function-json.ts";
import { HandlerJson } from "./handler-json.ts";

const HANDLER = { handler_id: "fs_read_handler", permission_id: "fs.read", entrypoint: "handler.py:execute" };

test("the guide's handler is valid, and runs in the sandbox unless it says otherwise", () => {
  const guide = { ...HANDLER, description: "d", risk: "r" };
  expect(v.parse(HandlerJson, guide)).toMatchObject({ mode: "sandbox", artifacts: [] });
});

test.each(["store.x", "store", "secrets.get", "host.mount", "docker.run", "Fs.read", "fs..read", "fs.read ", ".read"])(
  "T32 the permission %j is no handler's",
  (permission_id) => {
    expect(v.is(HandlerJson, { ...HANDLER, permission_id })).toBe(false);
  },
);

test("a word that only begins like one of the house's is a handler's", () => {
  expect(v.is(HandlerJson, { ...HANDLER, permission_id: "storefront.x" })).toBe(true);
});

test.each([
  { handler_id: "a b" },
  { handler_id: "" },
  { entrypoint: "a:b:c" },
  { entrypoint: "h.py:1x" },
  { mode: "root" },
  { runtime: "bash" },
])("T32 %j is refused", (wrong) => {
  expect(v.is(HandlerJson, { ...HANDLER, ...wrong })).toBe(false);
});

test("a function's manifest needs its id alone", () => {
  expect(v.parse(FunctionJson, { function_id: "send", unknown: 1 })).toMatchObject({
    function_id: "send",
    requires: [],
    caller_requires: [],
    timeout_seconds: 30,
    host_execution: false,
  });
});

test.each([
  {},
  { function_id: "Send" },
  { function_id: "s", timeout_seconds: 0 },
  { function_id: "s", timeout_seconds: 121 },
  { function_id: "s", requires: ["Store"] },
  { function_id: "s", aliases: ["system.x"] },
  { function_id: "s", entrypoint: "main.py" },
])("F87 the manifest %j is refused", (manifest) => {
  expect(v.is(FunctionJson, manifest)).toBe(false);
});

import { expect, test } from "vitest";
import * as sdk from "./index.ts";

test("outside a sandbox every function answers socket_not_found and throws nothing", async () => {
  expect(await sdk.get("https://example.com")).toMatchObject({
    success: false,
    error_type: "socket_not_found",
    final_url: "https://example.com",
  });
  expect(await sdk.call("store.get")).toMatchObject({
    success: false,
    error_type: "socket_not_found",
    output: { error_type: "socket_not_found" },
  });
  expect(await sdk.getSecret("KEY")).toBeNull();
  expect(await sdk.networkCheck("example.com", 443)).toMatchObject({ allowed: false });
});

test("a block is the function it was defined with", async () => {
  const block = sdk.defineBlock((input: { name: string }) => `Hello, ${input.name}!`);
  expect(block({ name: "x" }, {} as sdk.BlockContext)).toBe("Hello, x!");
});

test("inside a sandbox the runner's host functions are used", async () => {
  const asked: unknown[][] = [];
  const answer = { success: true, output: { value: "s" }, error: null, error_type: null, latency_ms: 1 };
  Object.assign(globalThis, { [Symbol.for("rumi.host")]: { call: (...args: unknown[]) => (asked.push(args), Promise.resolve(answer)) } });
  try {
    expect(await sdk.getSecret("KEY")).toBe("s");
    await sdk.store.cas("s", "k", 1);
    await sdk.store.cas("s", "k", 1, null);
  } finally {
    Reflect.deleteProperty(globalThis, Symbol.for("rumi.host"));
  }
  expect(asked.map(([id, args]) => [id, args])).toEqual([
    ["secrets.get", { key: "KEY" }],
    ["store.cas", { store_id: "s", key: "k", value: 1 }],
    ["store.cas", { store_id: "s", key: "k", value: 1, expected_value: null }],
  ]);
});

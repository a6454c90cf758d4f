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
  const pieces = [];
  for await (const piece of sdk.stream("GET", "https://example.com")) pieces.push(piece);
  expect(pieces).toMatchObject([{ type: "end", success: false, error_type: "socket_not_found" }]);
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
    ["store.cas", { store_id: "s", key: "k", new_value: 1 }],
    ["store.cas", { store_id: "s", key: "k", new_value: 1, expected_value: null }],
  ]);
});

test("answers are typed by what was asked", async () => {
  const answer = { success: true, output: { success: true, value: { n: 1 } }, error: null, error_type: null, latency_ms: 1 };
  Object.assign(globalThis, { [Symbol.for("rumi.host")]: { call: () => Promise.resolve(answer) } });
  try {
    const got = await sdk.store.get<{ n: number }>("s", "k");
    const n: number | null = got.success ? got.output.value.n : null;
    expect(n).toBe(1);
    const failed: string | null = got.success ? null : got.output.error_type;
    expect(failed).toBeNull();
  } finally {
    Reflect.deleteProperty(globalThis, Symbol.for("rumi.host"));
  }
});

test("a content type that the author wrote stands, however it is written", async () => {
  const asked: unknown[][] = [];
  Object.assign(globalThis, {
    [Symbol.for("rumi.host")]: { httpRequest: (...args: unknown[]) => (asked.push(args), Promise.resolve({})) },
  });
  try {
    await sdk.postJson("https://x.y", { a: 1 }, { headers: { "content-type": "application/ld+json" } });
    await sdk.postJson("https://x.y", { a: 1 });
  } finally {
    Reflect.deleteProperty(globalThis, Symbol.for("rumi.host"));
  }
  expect(asked.map((args) => args[2])).toEqual([{ "content-type": "application/ld+json" }, { "Content-Type": "application/json" }]);
});

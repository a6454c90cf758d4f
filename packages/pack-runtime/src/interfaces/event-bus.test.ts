import type { JsonValue, Logger } from "@rumi/core";
import { expect, test } from "vitest";
import { EventBus, refuseEvent } from "./event-bus.ts";
import { MAX_INTERFACE_BYTES } from "./limits.ts";

function make() {
  const errors: string[] = [];
  const logger: Logger = { log: (_level, text) => void errors.push(text) };
  return { bus: new EventBus({ logger }), errors };
}

test("listeners of exactly this topic hear of it, in their order", () => {
  const { bus } = make();
  const heard: string[] = [];
  const listen = (topic: string, name: string): (() => void) =>
    bus.on(topic, (event) => void heard.push(`${name} ${event.topic} ${JSON.stringify(event.data)}`));
  listen("p.done", "first");
  const stop = listen("p.done", "second");
  for (const other of ["p", "p.*", "p.done.more", "q.done", "*"]) listen(other, "no");
  expect(bus.emit("p", "done", 1)).toEqual({ topic: "p.done" });
  stop();
  stop();
  bus.emit("p", "done", 2);
  expect(heard).toEqual(["first p.done 1", "second p.done 1", "first p.done 2"]);
});

test("a listener that throws or rejects hinders nobody", async () => {
  const { bus, errors } = make();
  const heard: JsonValue[] = [];
  bus.on("p.x", () => {
    throw new Error("no");
  });
  bus.on("p.x", () => Promise.reject(new Error("later")));
  bus.on("p.x", (event) => void heard.push(event.data));
  bus.emit("p", "x", { a: 1 });
  await Promise.resolve();
  await Promise.resolve();
  expect(heard).toEqual([{ a: 1 }]);
  expect(errors).toHaveLength(2);
});

test("official and shared flows speak below flows., and no pack can", () => {
  const { bus } = make();
  expect(bus.emit("system", "ready", null)).toEqual({ topic: "flows.ready" });
  expect(bus.emit("p__c", "ready", null)).toEqual({ topic: "p__c.ready" });
});

test("an event has a dotted name and 64 KiB", () => {
  for (const event of ["", ".", "a.", ".a", "a b", "a\n", "a/b", "x".repeat(129)])
    expect(refuseEvent(event, null), event).toMatch(/^event must/u);
  expect(refuseEvent("a.b-c_D", null)).toBeNull();
  expect(refuseEvent("a", "x".repeat(MAX_INTERFACE_BYTES - 2))).toBeNull();
  expect(refuseEvent("a", "x".repeat(MAX_INTERFACE_BYTES - 1))).toMatch(/bytes/u);
});

test("packs cannot subscribe", () => {
  expect(() => make().bus.refuseSubscription()).toThrow(expect.objectContaining({ code: "event.unsupported" }));
});

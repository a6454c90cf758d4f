import type { PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { Lookups, systemResolver } from "./resolver.ts";

const A = "a" as PackId;
const B = "b" as PackId;
const signal = new AbortController().signal;

test("a slow name of one principal holds back its own next name, and nobody else's", async () => {
  const asked: string[] = [];
  let answer = (): void => undefined;
  const slow = new Promise<void>((resolve) => (answer = resolve));
  const resolver = {
    resolve: async (host: string) => {
      asked.push(host);
      if (host === "slow") await slow;
      return ["93.184.216.34"];
    },
  };
  const lookups = new Lookups({ resolver, clock: new ManualClock() });
  const first = lookups.resolve(A, "slow", signal);
  const same = lookups.resolve(A, "slow", signal);
  const next = lookups.resolve(A, "next", signal);
  expect(await lookups.resolve(B, "other", signal)).toEqual(["93.184.216.34"]);
  expect(asked).toEqual(["slow", "other"]);
  answer();
  expect(await Promise.all([first, same, next])).toEqual([["93.184.216.34"], ["93.184.216.34"], ["93.184.216.34"]]);
  expect(asked).toEqual(["slow", "other", "next"]);
  await lookups.resolve(A, "slow", signal);
  expect(asked).toHaveLength(4);
});

test("who gives up is answered at once", async () => {
  const lookups = new Lookups({ resolver: { resolve: () => new Promise(() => undefined) }, clock: new ManualClock() });
  const gone = new AbortController();
  const asked = lookups.resolve(A, "x", gone.signal);
  gone.abort();
  expect(await asked).toMatchObject({ fault: "dns_error" });
});

test("the machine's own resolver knows localhost", async () => {
  expect(await systemResolver.resolve("localhost", signal)).toContain("127.0.0.1");
});

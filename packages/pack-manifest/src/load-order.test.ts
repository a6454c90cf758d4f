import type { PackId } from "@rumi/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as v from "valibot";
import { EcosystemJson } from "./ecosystem-json.ts";
import { loadOrder } from "./load-order.ts";
import type { PackDescription } from "./read-pack.ts";

function pack(id: string, extra: Record<string, unknown> = {}): PackDescription {
  const manifest = v.parse(EcosystemJson, { pack_id: id, pack_identity: `local:${id}`, ...extra });
  return { pack_id: id as PackId, subdir: "", manifest, permissions: null, routes: [], reuse: false, warnings: [] };
}

describe("load order", () => {
  test("F83 a requires ai.client of q: q, then a; in a cycle all load, with a warning", () => {
    const needs = (...requires: string[]) => ({ connectivity: { requires } });
    const asked = loadOrder([pack("a", needs("ai.client")), pack("q", { connectivity: { provides: ["ai.client"] } })]);
    expect(asked).toEqual({ order: ["q", "a"], warnings: [] });
    const circle = loadOrder([pack("a", needs("q")), pack("q", needs("a")), pack("z")]);
    expect(circle.order.toSorted()).toEqual(["a", "q", "z"]);
    expect(circle.warnings.map((warning) => warning.code)).toEqual(["pack_manifest.load_cycle"]);
  });

  test("providers go before requirers, whatever the spelling", () => {
    const { order, warnings } = loadOrder([
      pack("a", { connectivity: ["text.store"] }),
      pack("b", { connectivity: { requires: ["c"] } }),
      pack("c", { connectivity: { provides: ["text.store"] }, depends_on: { d: "^1.0.0" } }),
      pack("d", { version: "1.2.0" }),
    ]);
    expect(order).toEqual(["d", "c", "a", "b"]);
    expect(warnings).toEqual([]);
  });

  test("a parent goes before its child, and ready packs by integer, then id", () => {
    const { order } = loadOrder([pack("z__a", { load_order: -9 }), pack("z"), pack("y", { load_order: 2 }), pack("b", { load_order: -1 })]);
    expect(order).toEqual(["b", "z", "z__a", "y"]);
  });

  test("load_order replaces the pack's own requirements and moves nobody else", () => {
    const packs = [pack("a", { connectivity: ["z"], load_order: ["b"] }), pack("b"), pack("m", { depends_on: ["z"] }), pack("z")];
    expect(loadOrder(packs).order).toEqual(["b", "a", "z", "m"]);
  });

  test("a need nobody meets warns and the pack loads", () => {
    const { order, warnings } = loadOrder([
      pack("a", { connectivity: ["x.y"], dependencies: { b: "^2" } }),
      pack("b", { version: "1.0.0" }),
    ]);
    expect(order).toEqual(["b", "a"]);
    expect(warnings.map((warning) => warning.code)).toEqual(["pack_manifest.unmet_requires", "pack_manifest.unmet_requires"]);
  });

  test("in a cycle the smallest id goes first, with a warning, and packs behind it wait", () => {
    const { order, warnings } = loadOrder([
      pack("a", { depends_on: ["q"] }),
      pack("p", { depends_on: ["q"] }),
      pack("q", { depends_on: ["p"] }),
    ]);
    expect(order).toEqual(["p", "q", "a"]);
    expect(warnings.map((warning) => warning.code)).toEqual(["pack_manifest.load_cycle"]);
  });

  test("every pack is ordered once, the same for every order of asking", () => {
    const ids = ["a", "b", "c", "d", "e"];
    const needs = fc.array(fc.subarray(ids), { minLength: ids.length, maxLength: ids.length });
    fc.assert(
      fc.property(needs, fc.shuffledSubarray(ids, { minLength: ids.length }), (lists, shuffled) => {
        const packs = new Map(ids.map((id, index) => [id, pack(id, { depends_on: lists[index] })]));
        const { order } = loadOrder([...packs.values()]);
        expect([...order].sort()).toEqual(ids);
        expect(loadOrder(shuffled.flatMap((id) => packs.get(id) ?? [])).order).toEqual(order);
      }),
    );
  });
});

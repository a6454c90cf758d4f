import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPackId, packIdShape } from "./pack-id.ts";

describe("pack ids", () => {
  test.each([
    ["core_x", "reserved"],
    ["CORE_x", "reserved"],
    ["KERNEL", "reserved"],
    ["System", "reserved"],
    ["packs", "reserved"],
    ["flows", "reserved"],
    ["local_pack", "reserved"],
    ["Sandbox", "reserved"],
    ["kernel__x", "reserved"],
    ["core__x", "reserved"],
    ["a__", "invalid_pack_id"],
    ["__a", "invalid_pack_id"],
    ["a___b", "invalid_pack_id"],
    ["_a", "invalid_pack_id"],
    ["a_", "invalid_pack_id"],
    ["a____b", "invalid_pack_id"],
    ["a b", "invalid_pack_id"],
    ["a\n", "invalid_pack_id"],
    ["", "invalid_pack_id"],
    ["ａ", "invalid_pack_id"],
    ["a".repeat(65), "invalid_pack_id"],
  ])("T4 the id %j is refused as %s", (name, code) => {
    expect(checkPackId(name, [])).toMatchObject({ ok: false, code: `pack_manifest.${code}` });
  });

  test.each(["a", "my_pack", "My-Pack2", "a__b__c", "corex", "kernel2", "a".repeat(64)])("the id %j is fine", (name) => {
    expect(checkPackId(name, [])).toEqual({ ok: true, id: name });
  });

  test.each([
    ["My-Pack", "my_pack"],
    ["PACK", "pack"],
    ["b0t", "bot"],
    ["p1n", "pin"],
    ["pIn", "pln"],
  ])("T5 the newcomer %j looks like the known %j", (name, known) => {
    expect(checkPackId(name, ["other", known])).toMatchObject({ ok: false, code: "pack_manifest.lookalike" });
  });

  test("a pack that was there first is not its own look-alike, nor that of a later twin", () => {
    expect(checkPackId("my_pack", ["My-Pack", "my_pack"])).toMatchObject({ ok: true });
  });

  test("looking alike does not depend on who asks", () => {
    const id = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/u);
    fc.assert(
      fc.property(id, id, (a, b) => {
        expect(packIdShape(a) === packIdShape(b)).toBe(packIdShape(b) === packIdShape(a));
        expect(packIdShape(packIdShape(a))).toBe(packIdShape(a));
      }),
    );
  });
});

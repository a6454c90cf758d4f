import type { PackId } from "@rumi/core";
import { sha256 } from "@rumi/core";
import type { BlockResolver } from "@rumi/flow-engine";
import { createTreeListing } from "@rumi/safe-files";
import { expect, test } from "vitest";
import { withLiveBlocks, withLiveConsent } from "./live-pack.ts";

const approved: BlockResolver = { resolve: (pack, file) => ({ found: true, file, runtime: "python", digest: sha256(pack) }) };
const file = (path: string) => ({ type: "f", path, executable: false, size: 1, sha256: "0".repeat(64) }) as const;
const listing = createTreeListing([{ type: "d", path: "blocks" }, file("blocks/a.py")]);
const p = "p" as PackId;
const q = "q" as PackId;

test("files of a live pack are found in its folder, at its own bytes; those of others where they were", () => {
  const blocks = withLiveBlocks(approved, { pack_id: p, subdir: "", flows: [], modifiers: [], listing });
  expect(blocks.resolve(p, "blocks/a.py")).toMatchObject({ found: true, digest: listing.digest });
  expect(blocks.resolve(p, "blocks/gone.py")).toMatchObject({ found: false, missing: "file" });
  expect(blocks.resolve(q, "blocks/gone.py")).toEqual(approved.resolve(q, "blocks/gone.py"));
});

test("a folder that holds what no pack may hold changes nothing of what is found", () => {
  expect(withLiveBlocks(approved, { pack_id: p, subdir: "", flows: [], modifiers: [], listing: null })).toBe(approved);
});

test("a live pack has the consent that its approval would give, no other pack has, and no privilege comes with it", () => {
  const rights = withLiveConsent({ mayReachWide: () => false, consentedOverwrites: () => new Set(["listed"]) }, { pack_id: p });
  const consents = (pack: PackId, key: string): boolean => rights.consentedOverwrites(pack, "m").has(key);
  expect([consents(p, "any"), consents(q, "any"), consents(q, "listed"), rights.mayReachWide(p)]).toEqual([true, false, true, false]);
});

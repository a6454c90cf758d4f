import { sha256 } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { expect, test } from "vitest";
import { SnapshotBlockResolver } from "./snapshot-block-resolver.ts";

const ALPHA = "alpha" as PackId;
const file = (path: string) => ({ type: "f", path, executable: false, size: 1, sha256: "0" }) as const;

function resolver(paths: readonly string[], known = true, allowed = true) {
  const listing = { digest: sha256("v1"), entries: paths.map(file), total_bytes: 1 };
  return new SnapshotBlockResolver({
    gate: {
      gate: (pack) =>
        allowed
          ? { allowed: true, digest: sha256("v1"), root: `/snapshots/${pack}`, subdir: "backend", listing, pack: { reuse: false } }
          : { allowed: false, code: "approval.modified", reason: "edited" },
    },
    isKnown: () => known,
  });
}

test("X1 the first of root, backend, blocks and backend/blocks that holds the file is taken, at the approved digest", () => {
  const paths = ["backend/backend/blocks/a.py", "backend/blocks/a.py", "backend/backend/a.py", "backend/a.py"];
  for (let left = 1; left <= paths.length; left += 1) {
    const there = paths.slice(0, left);
    const wanted = { 1: "backend/backend/blocks/a.py", 2: "backend/blocks/a.py", 3: "backend/backend/a.py", 4: "backend/a.py" }[left];
    expect(resolver(there).resolve(ALPHA, "a.py")).toEqual({ found: true, file: wanted, runtime: "python", digest: sha256("v1") });
  }
  expect(resolver(["backend/blocks/a.py"]).resolve(ALPHA, "b.py")).toMatchObject({ found: false, missing: "file" });
});

test("X2 a path that leaves the pack, or differs in case, is not found", () => {
  for (const path of ["../blocks/a.py", "/backend/blocks/a.py", "blocks\\a.py", "blocks/A.py", "blocks/a.py\0"]) {
    expect(resolver(["backend/blocks/a.py"]).resolve(ALPHA, path)).toMatchObject({ found: false, missing: "file" });
  }
});

test("F46 a pack that is nowhere is missing; one that is there but may not run is left to the gate's refusal", () => {
  expect(resolver([], false, false).resolve(ALPHA, "a.py")).toMatchObject({ found: false, missing: "pack" });
  const target = resolver([], true, false).resolve(ALPHA, "a.mjs");
  expect(target).toMatchObject({ found: true, file: "a.mjs", runtime: "node" });
  expect(target.found && target.digest).not.toBe(sha256("v1"));
});

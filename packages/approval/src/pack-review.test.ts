import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import { REVIEW_SECTIONS } from "./ports.ts";
import { compareSections } from "./section-changes.ts";
import { openTestApprovals } from "./testing/open-test-approvals.ts";

const actor = "token:test";
const hello = { "blocks/hello.py": "def run(input_data):\n    return 1\n" };

describe("the review of a pack", () => {
  test("a first one shows every file as added, and the digest to approve", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    const review = await home.approvals.review("p");
    expect(review).toMatchObject({
      status: "installed",
      base_digest: null,
      pack_identity: "github:author/p",
      version: "0.0.0",
      history: [],
    });
    expect(review.files.added.map((file) => file.path)).toEqual(["blocks/", "blocks/hello.py", "ecosystem.json"]);
    expect(review.files).toMatchObject({ removed: [], changed: [] });
    expect((await home.approvals.approve("p", { actor, expected_digest: review.digest })).digest).toBe(review.digest);
  });

  test("a later one is against the last approved snapshot, with diffs", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("p", { ...hello, "gone.txt": "x", "run.sh": "x" });
    const { digest } = await home.approvals.approve("p", { actor, notes: "first" });
    await writeFile(join(root, "blocks/hello.py"), "def run(input_data):\n    return 2\n");
    await rm(join(root, "gone.txt"));
    await chmod(join(root, "run.sh"), 0o755);
    await mkdir(join(root, "empty"));
    const review = await home.approvals.review("p");
    expect(review).toMatchObject({ status: "modified", reason: "changed", base_digest: digest });
    expect(review.files.added).toEqual([{ path: "empty/" }]);
    expect(review.files.removed.map((file) => file.path)).toEqual(["gone.txt"]);
    const diffs = new Map(review.files.changed.map((file) => [file.path, file.diff]));
    expect(diffs.get("run.sh")).toBe("");
    expect(diffs.get("blocks/hello.py")).toBe("@@ -1,2 +1,2 @@\n def run(input_data):\n-    return 1\n+    return 2\n");
    expect(review.history.map((entry) => `${entry.n} ${entry.action} ${entry.by} ${entry.reason ?? ""}`)).toEqual([
      "1 approve token:test first",
      "2 modified rumid changed",
    ]);
  });

  test("shows no raw control or bidi character, and no diff of what is not text or too large", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("p", { "a.py": "a\n", "bin.py": "a\n", "latin.py": "a\n", "big.py": "a\n", "wide.py": "a\n" });
    await home.approvals.approve("p", { actor });
    await writeFile(join(root, "a.py"), "\u001b[2J\u202eevil\u2066\u200b\r\n\tok\n");
    await writeFile(join(root, "bin.py"), "a\0b");
    await writeFile(join(root, "latin.py"), Buffer.from([0xff, 0xfe]));
    await writeFile(join(root, "big.py"), "a\n".repeat(140_000));
    await writeFile(join(root, "wide.py"), Array.from({ length: 20_000 }, (_, line) => `${line}`).join("\n"));
    const { files } = await home.approvals.review("p");
    const diffs = new Map(files.changed.map((file) => [file.path, file.diff]));
    expect(diffs.get("a.py")).toBe("@@ -1,1 +1,2 @@\n-a\n+\\u{1b}[2J\\u{202e}evil\\u{2066}\\u{200b}\\u{d}\n+\tok\n");
    for (const path of ["bin.py", "latin.py", "big.py", "wide.py"]) expect(diffs.get(path)).toBeNull();
  });

  test("all diffs together stay within 1 MiB", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const names = Array.from({ length: 8 }, (_, index) => `${index}.txt`);
    const root = await home.putPack("p", Object.fromEntries(names.map((name) => [name, "a".repeat(200_000)])));
    await home.approvals.approve("p", { actor });
    for (const name of names) await writeFile(join(root, name), "b".repeat(200_000));
    const { files } = await home.approvals.review("p");
    const bytes = files.changed.map((file) => file.diff?.length ?? 0);
    expect(bytes.filter((size) => size > 0)).toHaveLength(2);
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(1024 * 1024);
  });

  test.each(["schedules", "routes", "modifiers", "dependencies"] as const)(
    "T28 an update of only %s is in its section",
    async (section) => {
      await using folder = await temporaryFolder();
      await using home = await openTestApprovals(folder.path);
      const item = (key: string, value: unknown): unknown => ({
        key,
        value: { modifier_id: key, target: "f", action: "append", wide: false, reads: [], writes: [], overwrites: [], value },
      });
      const sections = (items: unknown): string => JSON.stringify({ routes: [item("same", 1)], [section]: items });
      const root = await home.putPack("p", { "sections.json": sections([item("a", 1), item("b", 1)]) });
      await home.approvals.approve("p", { actor });
      await writeFile(join(root, "sections.json"), sections([item("b", 2), item("c", 1)]));
      const review = await home.approvals.review("p");
      expect(review[section].added.map(({ key }) => key)).toEqual(["c"]);
      expect(review[section].removed.map(({ key }) => key)).toEqual(["a"]);
      expect(review[section].changed).toMatchObject([{ key: "b", from: { value: 1 }, to: { value: 2 } }]);
      for (const other of REVIEW_SECTIONS.filter((name) => name !== section)) {
        expect(review[other]).toEqual({ added: [], removed: [], changed: [] });
      }
    },
  );

  test("the yes to modifiers is recorded: which, on what, and the keys they overwrite", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const value = {
      modifier_id: "m",
      target: "flow",
      action: "append",
      wide: false,
      reads: ["ctx.u"],
      writes: ["text"],
      overwrites: ["text"],
    };
    await home.putPack("p", { "sections.json": JSON.stringify({ modifiers: [{ key: "m", value }] }) });
    await home.approvals.approve("p", { actor });
    const read = await home.signed.read("approval", "p", join(home.userData, "permissions/approvals/p.json"));
    expect(read).toMatchObject({
      state: "ok",
      value: { modifiers: [{ modifier_id: "m", target: "flow", action: "append", overwrites: ["text"] }] },
    });
  });

  test("a pack whose manifest is wrong can be reviewed, with what is wrong", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", { "ecosystem.json": "{}" });
    expect(await home.approvals.review("p")).toMatchObject({
      status: "error",
      warnings: [{ code: "pack_manifest.invalid" }, { code: "pack_manifest.invalid" }],
    });
  });

  test("an item that repeats a key hides none", () => {
    const item = (value: number): { key: string; value: number } => ({ key: "k", value });
    expect(compareSections({ routes: [item(1)] }, { routes: [item(1), item(2)] }).routes).toEqual({
      added: [{ key: "k (2)", value: 2 }],
      removed: [],
      changed: [],
    });
  });
});

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import { discoverPacks, findManifest, locatePack } from "./discovery.ts";

async function put(root: string, path: string, text = "{}"): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

describe("finding packs", () => {
  test("T1 a direct pack hides the legacy one of its name, with a warning", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "a/ecosystem.json");
    await put(home.path, "packs/a/ecosystem.json");
    await put(home.path, "packs/b/backend/ecosystem.json");
    const { found, warnings } = await discoverPacks(home.path);
    expect(found.map(({ pack_id, legacy }) => ({ pack_id, legacy }))).toEqual([
      { pack_id: "a", legacy: false },
      { pack_id: "b", legacy: true },
    ]);
    expect(warnings).toMatchObject([{ code: "pack_manifest.shadowed", file: "packs/a" }]);
  });

  test("T2 the manifest is in the pack, else backend, else the first other sub-folder", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "b/zz/ecosystem.json");
    await put(home.path, "b/aa/ecosystem.json");
    expect(await findManifest(join(home.path, "b"))).toMatchObject({
      subdir: "aa",
      warnings: [{ code: "pack_manifest.several_manifests" }],
    });
    await put(home.path, "b/backend/ecosystem.json");
    expect(await findManifest(join(home.path, "b"))).toMatchObject({ subdir: "backend" });
    await put(home.path, "b/ecosystem.json");
    expect(await findManifest(join(home.path, "b"))).toMatchObject({ subdir: "" });
  });

  test("skips hidden and reserved folders, links, files and folders without a manifest", async () => {
    await using home = await temporaryFolder();
    for (const name of [".x", "flows", "node_modules", "__pycache__", "packs/.y"]) await put(home.path, `${name}/ecosystem.json`);
    await put(home.path, "real/ecosystem.json");
    await put(home.path, "empty/readme.md");
    await put(home.path, "deep/a/b/ecosystem.json");
    await put(home.path, "file");
    await symlink(join(home.path, "real"), join(home.path, "linked"));
    const { found, warnings } = await discoverPacks(home.path);
    expect(found.map((pack) => pack.pack_id)).toEqual(["real"]);
    expect(warnings).toMatchObject([{ code: "pack_manifest.link_ignored", file: "linked" }]);
  });

  test("an ecosystem folder that is not there holds no pack", async () => {
    await using home = await temporaryFolder();
    expect(await discoverPacks(join(home.path, "none"))).toEqual({ found: [], warnings: [] });
  });

  test("locating takes one plain name only", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "a/ecosystem.json");
    await put(home.path, "packs/c/ecosystem.json");
    expect(await locatePack(home.path, "a")).toMatchObject({ pack_id: "a", legacy: false });
    expect(await locatePack(home.path, "c")).toMatchObject({ pack_id: "c", legacy: true });
    for (const name of ["", ".", "..", "packs/c", "../x", "a\0", "packs", "x".repeat(300)]) {
      expect(await locatePack(home.path, name)).toBeNull();
    }
  });
});

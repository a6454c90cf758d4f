import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { BUNDLED_EXAMPLE, copyBundledExample, isFreshHome } from "./bundled-example.ts";
import { homePaths, INSTALLATION_ROOT, prepareHome } from "./home.ts";

test("the recorded digest is that of the pack in examples/packs", async () => {
  const listing = await hashTree(join(INSTALLATION_ROOT, "examples", "packs", BUNDLED_EXAMPLE.pack_id));
  expect(listing.digest).toBe(BUNDLED_EXAMPLE.digest);
});

test("T104 a home is fresh until anything was decided or another pack lies in it; what is copied has the recorded digest", async () => {
  await using folder = await temporaryFolder();
  const paths = homePaths(folder.path);
  await prepareHome(paths);
  expect(await isFreshHome(paths, INSTALLATION_ROOT)).toBe(true);
  await copyBundledExample(paths, INSTALLATION_ROOT);
  expect((await hashTree(join(paths.ecosystem, BUNDLED_EXAMPLE.pack_id))).digest).toBe(BUNDLED_EXAMPLE.digest);
  expect(await isFreshHome(paths, INSTALLATION_ROOT)).toBe(true);
  await mkdir(join(paths.ecosystem, "another"));
  expect(await isFreshHome(paths, INSTALLATION_ROOT)).toBe(false);
  await using decided = await temporaryFolder();
  const others = homePaths(decided.path);
  await prepareHome(others);
  await writeFile(join(others.permissions, "approvals", "x.json"), "{}");
  expect(await isFreshHome(others, INSTALLATION_ROOT)).toBe(false);
});

test("what lies in the home already is never overwritten by the example", async () => {
  await using folder = await temporaryFolder();
  const paths = homePaths(folder.path);
  await prepareHome(paths);
  await writeFile(join(paths.sharedFlows, BUNDLED_EXAMPLE.flow_file), "mine");
  await copyBundledExample(paths, INSTALLATION_ROOT);
  expect(await readFile(join(paths.sharedFlows, BUNDLED_EXAMPLE.flow_file), "utf8")).toBe("mine");
});

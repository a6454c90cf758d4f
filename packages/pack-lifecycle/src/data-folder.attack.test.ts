import { link, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { measureData } from "./data-folder.ts";
import { MAX_DATA_DEPTH } from "./limits.ts";

const MANY = 1e12;

test("links are counted as links: nothing behind them is measured", async () => {
  await using folder = await temporaryFolder();
  await using outside = await temporaryFolder();
  await writeFile(join(outside.path, "big"), Buffer.alloc(1_000_000));
  await symlink(outside.path, join(folder.path, "out"));
  await symlink(join(outside.path, "big"), join(folder.path, "file"));
  await symlink("..", join(folder.path, "round"));
  await symlink("/proc/self/root", join(folder.path, "root"));
  const size = await measureData(folder.path, MANY);
  expect(size).toMatchObject({ entries: 4, problem: null });
  expect(size.bytes).toBeLessThan(100_000);
});

test("a file with several names counts once; one with a hole counts its length", async () => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "a"), Buffer.alloc(1_000_000));
  for (const name of ["b", "c", "d"]) await link(join(folder.path, "a"), join(folder.path, name));
  const linked = await measureData(folder.path, MANY);
  expect(linked.bytes).toBeGreaterThanOrEqual(1_000_000);
  expect(linked.bytes).toBeLessThan(2_000_000);
  await writeFile(join(folder.path, "hole"), "");
  await truncate(join(folder.path, "hole"), 5_000_000);
  expect((await measureData(folder.path, MANY)).bytes).toBeGreaterThanOrEqual(6_000_000);
});

test("it ends at the first byte too many, and at folders nested without end", async () => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "a"), Buffer.alloc(1_000_000));
  expect(await measureData(folder.path, 999_999)).toMatchObject({ problem: "it holds more than 999999 bytes" });
  await mkdir(join(folder.path, ...Array.from({ length: MAX_DATA_DEPTH + 2 }, () => "d")), { recursive: true });
  expect((await measureData(folder.path, MANY)).problem).toMatch(/nested deeper/u);
});

test("a socket is told: the sandbox would show the folder to nobody", async () => {
  await using folder = await temporaryFolder();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(folder.path, "s"), resolve));
  try {
    expect((await measureData(folder.path, MANY)).problem).toMatch(/socket/u);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a name that is no UTF-8 is a name like others", async () => {
  await using folder = await temporaryFolder();
  await mkdir(Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([0xff, 0xfe])]));
  await writeFile(Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([0xff, 0xfe]), Buffer.from("/x")]), Buffer.alloc(50_000));
  const size = await measureData(folder.path, MANY);
  expect(size).toMatchObject({ entries: 2, problem: null });
  expect(size.bytes).toBeGreaterThanOrEqual(50_000);
});

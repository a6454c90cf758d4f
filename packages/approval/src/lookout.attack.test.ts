import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { FolderWatch } from "./folder-watch.ts";
import { Lookout } from "./lookout.ts";

test("a pack that never comes to rest keeps no other pack's edit from being seen, and is looked at again once, not once per touch", async () => {
  await using folder = await temporaryFolder();
  const looks: string[] = [];
  const release = Promise.withResolvers<void>();
  const busyBegan = Promise.withResolvers<void>();
  const heardQuiet = Promise.withResolvers<void>();
  const busyAgain = Promise.withResolvers<void>();
  await using lookout = new Lookout(
    {
      ecosystem: folder.path,
      logger: silentLogger,
      look: async (pack) => {
        looks.push(pack);
        if (pack === "quiet") return heardQuiet.resolve();
        if (looks.filter((look) => look === "busy").length > 1) return busyAgain.resolve();
        busyBegan.resolve();
        await release.promise;
      },
      sweep: () => Promise.resolve(),
    },
    { pollMs: 3_600_000 },
  );
  for (const pack of ["busy", "quiet"]) {
    await mkdir(join(folder.path, pack));
    await lookout.folders.watchPack(pack, join(folder.path, pack));
  }
  await writeFile(join(folder.path, "busy/a"), "");
  await busyBegan.promise;
  for (let n = 0; n < 20; n += 1) await writeFile(join(folder.path, "busy/a"), String(n));
  await writeFile(join(folder.path, "quiet/a"), "");
  await heardQuiet.promise;
  expect(looks).toEqual(["busy", "quiet"]);
  release.resolve();
  await busyAgain.promise;
  expect(looks).toEqual(["busy", "quiet", "busy"]);
});

test("a pack of very many folders leaves watches for the others", async () => {
  await using folder = await temporaryFolder();
  const heard = Promise.withResolvers<string | null>();
  for (const path of ["wide/a", "wide/b", "wide/c", "wide/d", "wide/e", "p"]) await mkdir(join(folder.path, path), { recursive: true });
  using watch = new FolderWatch({
    ecosystem: folder.path,
    logger: silentLogger,
    platform: "linux",
    onTouch: heard.resolve,
    limits: { all: 4, perPack: 2 },
  });
  await watch.watchPack("wide", join(folder.path, "wide"));
  await watch.watchPack("p", join(folder.path, "p"));
  await writeFile(join(folder.path, "p/edit"), "");
  expect(await heard.promise).toBe("p");
});

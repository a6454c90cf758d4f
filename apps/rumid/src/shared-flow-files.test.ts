import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { SharedFlowFiles } from "./shared-flow-files.ts";

test("a file is put whole, for the operator alone, with the folders on its way, and taken away again", async () => {
  await using home = await temporaryFolder();
  const folder = join(home.path, "flows");
  const files = new SharedFlowFiles(folder);
  await files.write("modifiers/a.modifier.yaml", "one");
  await files.write("modifiers/a.modifier.yaml", "two");
  expect(await readFile(join(folder, "modifiers", "a.modifier.yaml"), "utf8")).toBe("two");
  expect((await stat(join(folder, "modifiers", "a.modifier.yaml"))).mode & 0o777).toBe(0o600);
  await files.remove("modifiers/a.modifier.yaml");
  await files.remove("modifiers/a.modifier.yaml");
  expect(await readdir(join(folder, "modifiers"))).toEqual([]);
});

test("nothing outside the folder is written or removed: not through a link, not through dots", async () => {
  await using home = await temporaryFolder();
  const [folder, outside] = [join(home.path, "flows"), join(home.path, "outside")];
  await mkdir(folder);
  await mkdir(outside);
  await writeFile(join(outside, "kept"), "kept");
  await symlink(outside, join(folder, "linked"));
  await symlink(join(outside, "kept"), join(folder, "file.flow.yaml"));
  const files = new SharedFlowFiles(folder);
  await expect(files.write("linked/x", "no")).rejects.toMatchObject({ code: expect.stringMatching(/^safe_files\./u) as string });
  await expect(files.remove("linked/kept")).rejects.toMatchObject({ code: expect.stringMatching(/^safe_files\./u) as string });
  for (const file of ["../outside/kept", "/etc/x", "a/../../outside/kept", ""]) {
    await expect(files.remove(file)).rejects.toThrow();
  }
  await files.write("file.flow.yaml", "new");
  expect(await readFile(join(folder, "file.flow.yaml"), "utf8")).toBe("new");
  expect([await readFile(join(outside, "kept"), "utf8"), await readdir(outside)]).toEqual(["kept", ["kept"]]);
});

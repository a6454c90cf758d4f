import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFile, chmod, lstat, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import {
  AppendFile,
  AppendLog,
  containedPath,
  ensureFolder,
  Keyring,
  lockHome,
  readJsonFile,
  removeTree,
  SignedFiles,
  statTree,
  writeFileAtomic,
} from "./index.ts";

/** A child process that runs `script` with `lib` bound to this package. */
function child(folder: string, script: string): ChildProcess {
  const source = `import * as lib from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "index.ts")).href)};\n${script}`;
  const args = ["--conditions=rumi-source", "--disable-warning=ExperimentalWarning", "--input-type=module", "-e", source];
  return spawn(process.execPath, [...args, folder], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
}

test("paths that leave their folder are refused", () => {
  expect(containedPath("/r", "a/b.json")).toBe("/r/a/b.json");
  expect(containedPath("/r", "")).toBe("/r");
  for (const path of ["..", "../x", "a/../b", "/etc", "a//b", "./a", "a/", "a\\b", "a\0", "C:/x"]) {
    expect(() => containedPath("/r", path), path).toThrow(expect.objectContaining({ code: "safe_files.path_escapes" }));
  }
});

test("a folder is made 0700 and a link is refused", async () => {
  await using folder = await temporaryFolder();
  await ensureFolder(join(folder.path, "a/b"));
  await ensureFolder(join(folder.path, "a/b"));
  expect((await stat(join(folder.path, "a"))).mode & 0o777).toBe(0o700);
  await symlink("a", join(folder.path, "link"));
  await writeFile(join(folder.path, "file"), "");
  for (const name of ["link", "file"]) {
    await expect(ensureFolder(join(folder.path, name))).rejects.toMatchObject({ code: "safe_files.not_a_folder" });
  }
});

test("an atomic write is 0600, replaces a link instead of following it, and leaves nothing beside", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x");
  await writeFile(join(folder.path, "victim"), "old");
  await symlink("victim", path);
  await writeFileAtomic(path, "new");
  expect(await readFile(join(folder.path, "victim"), "utf8")).toBe("old");
  expect((await lstat(path)).mode & 0o7777).toBe(0o600);
  expect(await readdir(folder.path)).toEqual(["victim", "x"]);
});

test.each<[title: string, text: string | Uint8Array, code: string]>([
  ["__proto__", '{"a":{"__proto__":1}}', "safe_files.forbidden_key"],
  ["constructor in a list", '[{"constructor":1}]', "safe_files.forbidden_key"],
  ["an escaped prototype", '{"\\u0070rototype":1}', "safe_files.forbidden_key"],
  ["a key twice", '{"a":1,"b":[{"x":"a"}],"a":2}', "safe_files.invalid_json"],
  ["a key twice, once escaped", '{"a":1,"\\u0061" : 2}', "safe_files.invalid_json"],
  ["an open brace", "{", "safe_files.invalid_json"],
  ["nothing", "", "safe_files.invalid_json"],
  ["single quotes", "{'a':1}", "safe_files.invalid_json"],
  ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "safe_files.invalid_json"],
  ["depth 65", "[".repeat(66) + "]".repeat(66), "safe_files.too_deep"],
  ["2 MiB and a byte", `"${"x".repeat(2 * 1024 * 1024 - 1)}"`, "safe_files.too_large"],
])("T7 a JSON file of %s is refused", async (_title, text, code) => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "f"), text);
  await expect(readJsonFile(join(folder.path, "f"))).rejects.toMatchObject({ code });
});

test("JSON with braces and quotes in its texts, equal keys in different objects and equal texts is read", async () => {
  await using folder = await temporaryFolder();
  const value = { a: { a: "a", b: '{"a":1,"a":"}]' }, 'x"\\': ["a", "a", { a: "\\" }, "__proto__"] };
  await writeFile(join(folder.path, "f"), `\ufeff${JSON.stringify(value, null, 1)}`);
  expect(await readJsonFile(join(folder.path, "f"))).toEqual(value);
});

test("absent files, links and folders are no JSON files", async () => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "f"), "{}");
  await symlink("f", join(folder.path, "link"));
  await expect(readJsonFile(join(folder.path, "none"))).rejects.toMatchObject({ code: "safe_files.not_found" });
  for (const name of ["link", "."]) {
    await expect(readJsonFile(join(folder.path, name))).rejects.toMatchObject({ code: "safe_files.not_a_file" });
  }
});

test("a read-only tree is removed whole; links in it are not followed", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  await mkdir(join(root, "a/b"), { recursive: true });
  await writeFile(Buffer.concat([Buffer.from(`${root}/a/`), Buffer.from([0xfe])]), "");
  await mkdir(join(folder.path, "outside"));
  await writeFile(join(folder.path, "outside/f"), "x");
  await symlink("../../outside", join(root, "a/link"));
  await chmod(join(root, "a/b"), 0);
  await chmod(join(root, "a"), 0o555);
  await chmod(root, 0o555);
  await removeTree(root);
  await removeTree(root);
  await symlink("outside", join(folder.path, "link"));
  await removeTree(join(folder.path, "link"));
  expect(await readdir(folder.path)).toEqual(["outside"]);
  expect(await readdir(join(folder.path, "outside"))).toEqual(["f"]);
});

test("a fingerprint stays while nothing changes, and moves with every kind of change", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  await mkdir(join(root, "d"), { recursive: true });
  await writeFile(join(root, "d/f"), "one");
  expect(await statTree(root)).not.toBe(await statTree(root));
  const settled = async (): Promise<string> => {
    await setTimeout(150);
    return statTree(root);
  };
  const seen = [await settled()];
  expect(await statTree(root)).toBe(seen[0]);
  const { atime, mtime } = await stat(join(root, "d/f"));
  await writeFile(join(root, "d/f"), "two");
  await utimes(join(root, "d/f"), atime, mtime);
  seen.push(await settled());
  await chmod(join(root, "d/f"), 0o755);
  seen.push(await settled());
  await mkdir(join(root, "e"));
  seen.push(await settled());
  expect(new Set(seen).size).toBe(4);
  await expect(statTree(join(root, "none"))).rejects.toMatchObject({ code: "safe_files.not_found" });
});

test("lines of a log land in call order, durable ones on disk", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "log");
  await using log = await AppendLog.open(path);
  await Promise.all(Array.from({ length: 100 }, (_, n) => log.append(`${n}`, { durable: n % 2 === 0 })));
  expect(await readFile(path, "utf8")).toBe(Array.from({ length: 100 }, (_, n) => `${n}\n`).join(""));
  await expect(log.append("a\nb", { durable: true })).rejects.toMatchObject({ code: "safe_files.log_failed" });
  await log.close();
  await expect(log.append("late", { durable: false })).rejects.toMatchObject({ code: "safe_files.log_failed" });
});

test("a half-written last line is cut off at open and handed over", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "log");
  const half = "h".repeat(100_000);
  await appendFile(path, `whole\n${half}`);
  await using file = await AppendFile.open(path);
  expect(file.torn.toString()).toBe(half);
  await file.append(Buffer.from("next\n"));
  expect(await readFile(path, "utf8")).toBe("whole\nnext\n");
});

test("one home has one daemon; the second is told the first one's pid", async () => {
  await using folder = await temporaryFolder();
  const home = join(folder.path, "user_data");
  {
    await using lock = await lockHome(home, { pid: 4711 });
    await expect(lockHome(home, { pid: 2 })).rejects.toMatchObject({ code: "safe_files.locked_by", details: { pid: 4711, url: null } });
    await lock.announce({ pid: 4711, url: "http://127.0.0.1:1" });
    await expect(lockHome(home, { pid: 2 })).rejects.toMatchObject({ details: { url: "http://127.0.0.1:1" } });
  }
  await using again = await lockHome(home, { pid: 3 });
  expect(again).toBeDefined();
});

test("T15 a home whose daemon was killed with SIGKILL is free at once", async () => {
  await using folder = await temporaryFolder();
  const holder = child(
    folder.path,
    `globalThis.lock = await lib.lockHome(process.argv[1], { pid: process.pid }); process.send("held"); setInterval(() => {}, 1000);`,
  );
  await once(holder, "message");
  await expect(lockHome(folder.path, { pid: 1 })).rejects.toMatchObject({ details: { pid: holder.pid } });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  await using lock = await lockHome(folder.path, { pid: 1 });
  expect(lock).toBeDefined();
});

test("T15 a writer killed with SIGKILL at any instant leaves each signed file old or new", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const keyring = await Keyring.open(at("key"));
  const script = `
    const at = (name) => process.argv[1] + "/" + name;
    const keyring = await lib.Keyring.open(at("key"), { mustExist: true });
    const files = new lib.SignedFiles({ keyring, indexPath: at("index.json") });
    await files.load();
    process.send("ready");
    for (let n = 1; ; n++) {
      await files.write("approval", "p", at("p.json"), { n, text: "x".repeat(20000) });
      if (n % 3 === 0) await files.remove("approval", "q", at("q.json"));
      else await files.write("approval", "q", at("q.json"), { n });
    }`;
  let newest = 0;
  for (let round = 0; round < 8; round++) {
    const writer = child(folder.path, script);
    await once(writer, "message");
    await setTimeout(5 + 7 * round);
    writer.kill("SIGKILL");
    await once(writer, "exit");
    const files = new SignedFiles({ keyring, indexPath: at("index.json") });
    await files.load();
    const [p, q] = [await files.read("approval", "p", at("p.json")), await files.read("approval", "q", at("q.json"))];
    expect([p.state, q.state]).not.toContain("tampered");
    if (p.state !== "ok") continue;
    expect(p.value.text).toHaveLength(20_000);
    expect(p.rev).toBeGreaterThanOrEqual(newest);
    newest = p.rev;
  }
  expect(newest).toBeGreaterThan(1);
});

test("the fingerprint of a tree past every limit looks at no more of it than the limit", async () => {
  await using folder = await temporaryFolder();
  for (let n = 0; n < 40; n += 1) await writeFile(join(folder.path, `f${n}`), "");
  await setTimeout(150);
  const bounded = await statTree(folder.path, { maxEntries: 10 });
  expect(await statTree(folder.path, { maxEntries: 10 })).toBe(bounded);
  await utimes(join(folder.path, "f0"), 1, 1);
  await chmod(join(folder.path, "f0"), 0o600);
  await setTimeout(150);
  // Too much in one folder: none of its children is asked for.
  expect(await statTree(folder.path, { maxEntries: 10 })).toBe(bounded);
  expect(await statTree(folder.path, { maxEntries: 41 })).not.toBe(bounded);
  await rm(join(folder.path, "f0"));
  await setTimeout(150);
  expect(await statTree(folder.path, { maxEntries: 10 })).not.toBe(bounded);
});

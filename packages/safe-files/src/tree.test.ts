import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, link, lstat, mkdir, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { temporaryFolder } from "@rumi/testkit";
import fc from "fast-check";
import { expect, test } from "vitest";
import { copyTree, hashTree, SafeFilesError, TREE_LIMITS, type TreeRule } from "./index.ts";

async function put(root: string, files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o644 });
  }
}

const SEED_PACK = { "backend/blocks/hello.py": "x", "backend/ecosystem.json": "{}" };
const SEED_DIGEST = "sha256:f58057bb1abef2ee868b1246e9ff128719f1962f730bde31497864d2419fa29d";

async function refusal(work: Promise<unknown>): Promise<{ path: unknown; rule: unknown }> {
  const error = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(error instanceof SafeFilesError)) throw new Error("nothing was refused", { cause: error });
  expect(error.code).toBe("safe_files.tree_unsafe");
  return { path: error.details.path, rule: error.details.rule };
}

test("T16 the tree digest of the page's example is exactly the page's, hashed or copied", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "pack");
  await put(root, SEED_PACK);
  const hashed = await hashTree(root);
  expect(hashed.digest).toBe(SEED_DIGEST);
  expect(hashed.total_bytes).toBe(3);
  expect(hashed.entries.map((entry) => entry.path)).toEqual([
    "backend",
    "backend/blocks",
    "backend/blocks/hello.py",
    "backend/ecosystem.json",
  ]);
  expect(await copyTree(root, join(folder.path, "copy"))).toEqual(hashed);
  expect(await hashTree(join(folder.path, "copy"))).toEqual(hashed);
});

test("entries stand in the byte order of their paths, not in that of UTF-16", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { "\u{1f600}": "", "\uff5e": "", "a/b": "", "a.b": "", "a-b": "" });
  const { entries } = await hashTree(folder.path);
  expect(entries.map((entry) => entry.path)).toEqual(
    ["a", "a-b", "a.b", "a/b", "\uff5e", "\u{1f600}"].toSorted((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))),
  );
  expect(entries.findIndex((e) => e.path === "\uff5e")).toBeLessThan(entries.findIndex((e) => e.path === "\u{1f600}"));
});

test("T17 a .pyc, a hidden folder's file, an empty folder and the exec bit each change the digest", async () => {
  const changes: ((root: string) => Promise<void>)[] = [
    (root) => put(root, { "backend/blocks/__pycache__/x.pyc": "" }),
    (root) => put(root, { ".git/x": "" }),
    (root) => mkdir(join(root, "empty")).then(() => undefined),
    (root) => chmod(join(root, "backend/blocks/hello.py"), 0o744),
    (root) => rename(join(root, "backend/blocks/hello.py"), join(root, "backend/blocks/hallo.py")),
  ];
  const digests = new Set<string>([SEED_DIGEST]);
  for (const change of changes) {
    await using folder = await temporaryFolder();
    await put(folder.path, SEED_PACK);
    await change(folder.path);
    digests.add((await hashTree(folder.path)).digest);
  }
  expect(digests.size).toBe(changes.length + 1);
});

test("modes other than the owner's exec bit do not count", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, SEED_PACK);
  await chmod(join(folder.path, "backend/blocks/hello.py"), 0o666);
  expect((await hashTree(folder.path)).digest).toBe(SEED_DIGEST);
});

const UNSAFE: readonly [title: string, rule: TreeRule, make: (root: string, outside: string) => Promise<void>][] = [
  ["a link", "link", (root) => symlink("hello", join(root, "link"))],
  ["a dangling link", "link", (root) => symlink("nowhere", join(root, "link"))],
  ["a link to a folder", "link", (root, outside) => symlink(outside, join(root, "link"))],
  ["a FIFO", "special_file", async (root) => void execFileSync("mkfifo", [join(root, "fifo")])],
  [
    "a hard link to outside",
    "hard_link",
    async (root, outside) => {
      await writeFile(join(outside, "f"), "x");
      await link(join(outside, "f"), join(root, "f"));
    },
  ],
  ["names that differ by case", "collision", (root) => put(root, { A: "", a: "" })],
  ["folders that differ by case", "collision", (root) => put(root, { "Aa/x": "", "aA/y": "" })],
  ["names equal under NFKC", "collision", (root) => put(root, { "\ufb01le": "", file: "" })],
  ["names equal under full case folding", "collision", (root) => put(root, { straße: "", STRASSE: "" })],
  ["an NFD name", "not_nfc", (root) => put(root, { "e\u0301": "" })],
  ["a newline in a name", "control_character", (root) => put(root, { "a\nf 0 0 x": "" })],
  ["a C1 control character", "control_character", (root) => put(root, { "a\u0085": "" })],
  ["a backslash", "backslash", (root) => put(root, { "a\\b": "" })],
  ["a trailing dot", "segment_end", (root) => put(root, { "a.": "" })],
  ["a trailing space in a folder", "segment_end", (root) => put(root, { "a /b": "" })],
  ["bytes that are not UTF-8", "not_utf8", (root) => writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff])]), "")],
  ["33 levels", "too_deep", (root) => put(root, { [`${"d/".repeat(32)}f`]: "" })],
  ["a path of 1025 bytes", "path_too_long", (root) => put(root, { [`${"p".repeat(204)}/`.repeat(5).slice(0, -1) + "q"]: "" })],
];

test.each(UNSAFE)("T18 %s is refused and nothing is copied", async (_title, rule, make) => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  const outside = join(folder.path, "outside");
  await mkdir(outside);
  await put(root, { hello: "x" });
  await make(root, outside);
  expect((await refusal(hashTree(root))).rule).toBe(rule);
  expect((await refusal(copyTree(root, join(folder.path, "copy")))).rule).toBe(rule);
  expect((await readdir(folder.path)).toSorted()).toEqual(["outside", "root"]);
});

test("T18 a socket is refused", async () => {
  await using folder = await temporaryFolder();
  const server = createServer();
  await new Promise<void>((done) => server.listen(join(folder.path, "s"), done));
  try {
    expect(await refusal(hashTree(folder.path))).toEqual({ path: "s", rule: "special_file" });
  } finally {
    await new Promise((done) => server.close(done));
  }
});

test("hard links inside the tree count as two files", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { a: "x" });
  await link(join(folder.path, "a"), join(folder.path, "b"));
  expect((await hashTree(folder.path)).entries).toHaveLength(2);
});

test("a root that is a link, a file or absent is refused", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { file: "x" });
  await symlink(folder.path, join(folder.path, "link"));
  expect((await refusal(hashTree(join(folder.path, "link")))).rule).toBe("link");
  expect((await refusal(hashTree(join(folder.path, "file")))).rule).toBe("special_file");
  await expect(hashTree(join(folder.path, "none"))).rejects.toMatchObject({ code: "safe_files.not_found" });
});

test("32 levels, 255-byte segments and 1024-byte paths pass", async () => {
  await using folder = await temporaryFolder();
  const long = `${"p".repeat(203)}/`.repeat(5).slice(0, -1) + "qqqqq";
  expect(Buffer.byteLength(long)).toBe(1024);
  await put(folder.path, { [`${"d/".repeat(31)}f`]: "", ["s".repeat(255)]: "", [long]: "" });
  expect((await hashTree(folder.path)).entries).toHaveLength(31 + 1 + 1 + 5);
});

test("file counts, file sizes and the total are bounded", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { a: "12345", b: "12345", "c/d": "12345" });
  const within = { ...TREE_LIMITS, maxFiles: 3, maxFileBytes: 5, maxTotalBytes: 15, maxFolders: 1 };
  expect((await hashTree(folder.path, { limits: within })).total_bytes).toBe(15);
  const rule = async (limit: object) => (await refusal(hashTree(folder.path, { limits: { ...within, ...limit } }))).rule;
  expect(await rule({ maxFiles: 2 })).toBe("too_many_files");
  expect(await rule({ maxFolders: 0 })).toBe("too_many_folders");
  expect(await rule({ maxFileBytes: 4 })).toBe("file_too_large");
  expect(await rule({ maxTotalBytes: 14 })).toBe("tree_too_large");
});

test("a copy is read-only, whole, and refuses an existing target", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  const copy = join(folder.path, "copy");
  const big = Buffer.alloc(700_000, "abc");
  await put(root, { "a/big": big, "a/run.sh": "#!", e: "" });
  await chmod(join(root, "a/run.sh"), 0o700);
  await copyTree(root, copy);
  expect(await readFile(join(copy, "a/big"))).toEqual(big);
  const modes = await Promise.all(["", "a", "a/big", "a/run.sh", "e"].map((path) => lstat(join(copy, path))));
  expect(modes.map((stat) => (stat.mode & 0o7777).toString(8))).toEqual(["555", "555", "444", "555", "444"]);
  await expect(copyTree(root, copy)).rejects.toMatchObject({ code: "safe_files.target_exists" });
});

test("a refused tree of many files leaves no open file and no target", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  await put(root, Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`d${n % 7}/f${n}`, `${n}`])));
  await symlink("x", join(root, "d6/link"));
  const before = (await readdir("/proc/self/fd")).length;
  expect((await refusal(copyTree(root, join(folder.path, "copy")))).rule).toBe("link");
  expect((await readdir("/proc/self/fd")).length).toBe(before);
  expect(await readdir(folder.path)).toEqual(["root"]);
});

test("T20 files rewritten and swapped while they are copied: the listing is that of the copy", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  await put(root, Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`d${n % 4}/f${n}`, "a".repeat(50_000)])));
  for (let round = 0; round < 5; round++) {
    let stop = false;
    const attacker = (async () => {
      for (let n = 0; !stop; n++) {
        const path = join(root, `d${n % 4}/f${n % 40}`);
        const text = String.fromCharCode(98 + (n % 20)).repeat(30_000 + (n % 40_000));
        await writeFile(path, text).catch(() => undefined);
        await writeFile(`${root}/../swap`, `swapped ${n}`);
        await rename(`${root}/../swap`, path);
        await setTimeout(1);
      }
    })();
    const target = join(folder.path, `copy${round}`);
    try {
      const listing = await copyTree(root, target);
      expect(await hashTree(target)).toEqual(listing);
    } catch (error) {
      // A file caught between two names may be refused; it may never be listed as something else.
      expect(error).toMatchObject({ code: "safe_files.tree_unsafe" });
    } finally {
      stop = true;
      await attacker;
    }
  }
});

test("a folder swapped for a link to outside is never read through", async () => {
  await using folder = await temporaryFolder();
  const root = join(folder.path, "root");
  const outside = join(folder.path, "outside");
  await put(root, { "d/secret": "harmless" });
  await put(outside, { secret: "the secret" });
  const secret = createHash("sha256").update("the secret").digest("hex");
  let stop = false;
  const attacker = (async () => {
    while (!stop) {
      await rename(join(root, "d"), join(folder.path, "aside"));
      await symlink(outside, join(root, "d"));
      await rename(join(root, "d"), join(folder.path, "old-link"));
      await rename(join(folder.path, "aside"), join(root, "d"));
    }
  })();
  try {
    for (let round = 0; round < 150; round++) {
      const listing = await hashTree(root).catch(() => null);
      expect(listing?.entries.some((entry) => entry.type === "f" && entry.sha256 === secret) ?? false).toBe(false);
    }
  } finally {
    stop = true;
    await attacker;
  }
});

test("any single flipped bit of any file changes the digest", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { ...SEED_PACK, "backend/data.bin": Buffer.alloc(300, 7) });
  const { digest, entries } = await hashTree(folder.path);
  const files = entries.filter((entry) => entry.type === "f");
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(7), async (which, where, bit) => {
      const file = files[which % files.length];
      if (file?.type !== "f") throw new Error("no file");
      const path = join(folder.path, file.path);
      const bytes = await readFile(path);
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(where % bytes.length) ^ (1 << bit), where % bytes.length);
      await writeFile(path, changed);
      expect((await hashTree(folder.path)).digest).not.toBe(digest);
      await writeFile(path, bytes);
    }),
    { numRuns: 150 },
  );
  expect((await hashTree(folder.path)).digest).toBe(digest);
});

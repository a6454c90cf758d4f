import { createHmac } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { hasSignedFiles, Keyring, SignedFiles } from "./index.ts";

const K_RING = {
  active: "k1",
  keys: [{ id: "k1", secret: Buffer.alloc(32, "k").toString("base64"), created_at: "2026-01-01T00:00:00.000Z", retired_at: null }],
};

async function keyringOf(folder: string, ring: object = K_RING): Promise<Keyring> {
  const path = join(folder, "key");
  await writeFile(path, JSON.stringify(ring), { mode: 0o600 });
  return Keyring.open(path);
}

interface Home extends AsyncDisposable {
  readonly path: string;
  readonly keyring: Keyring;
  at(...names: string[]): string;
  open(minRev?: number): Promise<SignedFiles>;
}

async function home(): Promise<Home> {
  const folder = await temporaryFolder();
  const keyring = await keyringOf(folder.path);
  const at = (...names: string[]): string => join(folder.path, ...names);
  await mkdir(at("network"));
  return {
    path: folder.path,
    keyring,
    at,
    open: async (minRev = 0) => {
      const files = new SignedFiles({ keyring, indexPath: at("revisions.json") });
      await files.load({ minRev });
      return files;
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("T8 the mac of the page's example is exactly the page's", async () => {
  await using folder = await temporaryFolder();
  const keyring = await keyringOf(folder.path);
  const signed = keyring.sign("grants", "my_pack", { _rev: 1, a: "日", b: 1 });
  expect(signed._sig).toEqual({
    alg: "HMAC-SHA256",
    kid: "k1",
    mac: "700752b9d5528b2dc24b32b40337ba36978e9f10217ebf6049102dcfc7286d27",
  });
  expect(keyring.verify("grants", "my_pack", signed)).toEqual({ ok: true, value: { a: "日", b: 1 }, rev: 1 });
});

test("T9 a re-indented file is valid, one changed value is not", async () => {
  await using h = await home();
  const files = await h.open();
  const path = h.at("a.json");
  await files.write("grants", "a", path, { b: [1, 2], a: { x: "y" } });
  const value = JSON.parse(await readFile(path, "utf8")) as JsonObject;
  await writeFile(path, JSON.stringify(value, null, 7));
  expect(await files.read("grants", "a", path)).toEqual({ state: "ok", value: { b: [1, 2], a: { x: "y" } }, rev: 1 });
  await writeFile(path, JSON.stringify({ ...value, b: [1, 3] }));
  expect(await files.read("grants", "a", path)).toEqual({ state: "tampered", reason: "bad_signature" });
});

test.each<[string, (file: JsonObject) => unknown, string]>([
  ["no signature", ({ _sig, ...rest }) => rest, "unsigned"],
  ["another algorithm", (file) => ({ ...file, _sig: { ...(file._sig as JsonObject), alg: "none" } }), "unsigned"],
  ["a key that is not ours", (file) => ({ ...file, _sig: { ...(file._sig as JsonObject), kid: "k2" } }), "unknown_key"],
  [
    "a mac in upper case",
    (file) => ({ ...file, _sig: { ...(file._sig as JsonObject), mac: ((file._sig as JsonObject)["mac"] as string).toUpperCase() } }),
    "bad_signature",
  ],
  ["an added key", (file) => ({ ...file, extra: 1 }), "bad_signature"],
  ["a raised revision", (file) => ({ ...file, _rev: 2 }), "bad_signature"],
  ["a list", (file) => [file], "unsigned"],
])("T9 a file with %s is tampered", async (_title, edit, reason) => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { a: 1 });
  const value = JSON.parse(await readFile(h.at("a.json"), "utf8")) as JsonObject;
  await writeFile(h.at("a.json"), JSON.stringify(edit(value)));
  expect(await files.read("grants", "a", h.at("a.json"))).toEqual({ state: "tampered", reason });
});

test("T9 an empty, unparsable or linked file is tampered", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { a: 1 });
  await copyFile(h.at("a.json"), h.at("b.json"));
  for (const text of ["", "{", "\xff"]) {
    await writeFile(h.at("a.json"), text);
    expect((await files.read("grants", "a", h.at("a.json"))).state).toBe("tampered");
  }
  await rm(h.at("a.json"));
  await symlink("b.json", h.at("a.json"));
  expect(await files.read("grants", "a", h.at("a.json"))).toEqual({ state: "tampered", reason: "unreadable" });
});

test("T10 a's grants copied to b or into network/ are tampered", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { a: 1 });
  await copyFile(h.at("a.json"), h.at("b.json"));
  await copyFile(h.at("a.json"), h.at("network/a.json"));
  expect(await files.read("grants", "b", h.at("b.json"))).toEqual({ state: "tampered", reason: "bad_signature" });
  expect(await files.read("network", "a", h.at("network/a.json"))).toEqual({ state: "tampered", reason: "bad_signature" });
});

test("T11 an old file put back is tampered, also after a restart", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { granted: true });
  await copyFile(h.at("a.json"), h.at("old"));
  await files.write("grants", "a", h.at("a.json"), {});
  await copyFile(h.at("old"), h.at("a.json"));
  const replayed = { state: "tampered", reason: "replayed" };
  expect(await files.read("grants", "a", h.at("a.json"))).toEqual(replayed);
  expect(await (await h.open()).read("grants", "a", h.at("a.json"))).toEqual(replayed);
});

test("T11 an old file put back after its removal is tampered", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { granted: true });
  await copyFile(h.at("a.json"), h.at("old"));
  await files.remove("grants", "a", h.at("a.json"));
  expect(await files.read("grants", "a", h.at("a.json"))).toEqual({ state: "absent" });
  await copyFile(h.at("old"), h.at("a.json"));
  expect(await (await h.open()).read("grants", "a", h.at("a.json"))).toEqual({ state: "tampered", reason: "replayed" });
  expect(await files.write("grants", "a", h.at("a.json"), { again: 1 })).toBe(3);
  expect((await files.read("grants", "a", h.at("a.json"))).state).toBe("ok");
});

test("a folder in a file's place is tampered, and can be removed as a file can", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { granted: true });
  await rm(h.at("a.json"));
  await mkdir(h.at("a.json/b"), { recursive: true });
  expect((await files.read("grants", "a", h.at("a.json"))).state).toBe("tampered");
  await files.remove("grants", "a", h.at("a.json"));
  expect(await files.read("grants", "a", h.at("a.json"))).toEqual({ state: "absent" });
});

test("T12 a deleted record is tampered, not absent", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("approval", "p", h.at("p.json"), { state: "blocked" });
  await rm(h.at("p.json"));
  const missing = { state: "tampered", reason: "missing" };
  expect(await files.read("approval", "p", h.at("p.json"))).toEqual(missing);
  expect(await (await h.open()).read("approval", "p", h.at("p.json"))).toEqual(missing);
  expect(await files.read("approval", "q", h.at("q.json"))).toEqual({ state: "absent" });
});

test("the index catches up by one revision, never by two", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("approval", "p", h.at("p.json"), { n: 1 });
  const write = (rev: number) => writeFile(h.at("p.json"), JSON.stringify(h.keyring.sign("approval", "p", { _rev: rev, n: rev })));
  await write(3);
  expect(await files.read("approval", "p", h.at("p.json"))).toEqual({ state: "tampered", reason: "revision_ahead" });
  await write(2);
  expect(await files.read("approval", "p", h.at("p.json"))).toEqual({ state: "ok", value: { n: 2 }, rev: 2 });
  expect(await files.write("approval", "p", h.at("p.json"), { n: 3 })).toBe(3);
});

test("an edited index, and one older than the audit log knows, lock every file", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("approval", "p", h.at("p.json"), { n: 1 });
  await copyFile(h.at("revisions.json"), h.at("old-index"));
  await files.write("approval", "p", h.at("p.json"), { n: 2 });
  const newest = files.rev;
  await copyFile(h.at("old-index"), h.at("revisions.json"));
  await expect(h.open(newest)).rejects.toMatchObject({ code: "safe_files.locked" });
  await writeFile(h.at("revisions.json"), (await readFile(h.at("old-index"), "utf8")).replace('"rev":1', '"rev":9'));
  const locked = new SignedFiles({ keyring: h.keyring, indexPath: h.at("revisions.json") });
  await expect(locked.load()).rejects.toMatchObject({ code: "safe_files.locked" });
  expect(await locked.read("approval", "p", h.at("p.json"))).toEqual({ state: "tampered", reason: "locked" });
  await expect(locked.write("approval", "p", h.at("p.json"), {})).rejects.toMatchObject({ code: "safe_files.locked" });
});

test("when the audit entry cannot be written, nothing is", async () => {
  await using h = await home();
  const files = await h.open();
  await files.write("grants", "a", h.at("a.json"), { n: 1 });
  const before = await readFile(h.at("a.json"), "utf8");
  const refuse = () => Promise.reject(new Error("disk full"));
  await expect(files.write("grants", "a", h.at("a.json"), { n: 2 }, refuse)).rejects.toThrow("disk full");
  expect(await readFile(h.at("a.json"), "utf8")).toBe(before);
  expect((await files.read("grants", "a", h.at("a.json"))).state).toBe("ok");
});

test("concurrent writes get revisions of their own and leave files 0600", async () => {
  await using h = await home();
  const files = await h.open();
  const revs = await Promise.all(Array.from({ length: 20 }, (_, n) => files.write("grants", "a", h.at("a.json"), { n })));
  expect(revs).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  expect((await stat(h.at("a.json"))).mode & 0o777).toBe(0o600);
  expect((await readdir(h.path)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("T14 without a key file: a fresh home gets one, a home with signed files is locked and none is made", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "permissions", ".secret_key");
  expect(await hasSignedFiles(folder.path)).toBe(false);
  const keyring = await Keyring.open(path, { mustExist: false });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const again = await Keyring.open(path);
  expect(again.kid).toBe(keyring.kid);
  const files = new SignedFiles({ keyring, indexPath: join(folder.path, "permissions/revisions.json") });
  await files.load();
  await files.write("approval", "p", join(folder.path, "permissions/approvals/p.json"), {});
  expect(await hasSignedFiles(folder.path)).toBe(true);
  await rm(path);
  await expect(Keyring.open(path, { mustExist: true })).rejects.toMatchObject({ code: "safe_files.locked" });
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test.each(["0644", "0640", "0604", "0620"])("T14 a key file of mode %s is refused", async (mode) => {
  await using folder = await temporaryFolder();
  await keyringOf(folder.path);
  await chmod(join(folder.path, "key"), Number.parseInt(mode, 8));
  await expect(Keyring.open(join(folder.path, "key"))).rejects.toMatchObject({ code: "safe_files.key_file_unsafe" });
});

test("T14 a key file that is a link, unparsable, short or without an active key is refused", async () => {
  await using folder = await temporaryFolder();
  await keyringOf(folder.path);
  await symlink("key", join(folder.path, "link"));
  await expect(Keyring.open(join(folder.path, "link"))).rejects.toMatchObject({ code: "safe_files.key_file_unsafe" });
  const short = { ...K_RING, keys: [{ ...K_RING.keys[0], secret: "AAAA" }] };
  const retired = { ...K_RING, keys: [{ ...K_RING.keys[0], retired_at: "2026-01-02T00:00:00.000Z" }] };
  for (const ring of [short, retired, { ...K_RING, active: "k9" }, [], {}]) {
    await expect(keyringOf(folder.path, ring)).rejects.toMatchObject({ code: "safe_files.key_file_unsafe" });
  }
});

test("a retired key signs and verifies no record, but still derives", async () => {
  await using folder = await temporaryFolder();
  const old = await keyringOf(folder.path);
  const signed = old.sign("grants", "a", { _rev: 1 });
  const [key] = K_RING.keys;
  const ring = {
    active: "k2",
    keys: [
      { ...key, retired_at: "2026-01-02T00:00:00.000Z" },
      { ...key, id: "k2", secret: Buffer.alloc(32, "n").toString("base64") },
    ],
  };
  const renewed = await keyringOf(folder.path, ring);
  expect(renewed.verify("grants", "a", signed)).toEqual({ ok: false, reason: "unknown_key" });
  expect(renewed.derive("rumi/audit/v1", "k1")).toEqual(old.derive("rumi/audit/v1"));
  expect(renewed.derive("rumi/audit/v1")).not.toEqual(old.derive("rumi/audit/v1"));
  expect(createHmac("sha256", old.derive("x")).digest()).toHaveLength(32);
});

test("an index that is gone beside signed files locks them: no older file is believed in its place", async () => {
  await using h = await home();
  const path = h.at("network", "p.json");
  {
    const files = await h.open();
    await files.write("network", "p", path, { allowed: true });
    await copyFile(path, h.at("old.json"));
    await files.write("network", "p", path, { allowed: false });
  }
  await copyFile(h.at("old.json"), path);
  await rm(h.at("revisions.json"));
  const files = new SignedFiles({ keyring: h.keyring, indexPath: h.at("revisions.json") });
  await expect(files.load({ mustExist: true })).rejects.toMatchObject({ code: "safe_files.locked" });
  expect(await files.read("network", "p", path)).toMatchObject({ state: "tampered" });
});

test("T15 an index stands before the first signed file, so that a crash between the two locks nobody out", async () => {
  await using h = await home();
  await h.open();
  expect(await readdir(h.path)).toContain("revisions.json");
  const files = new SignedFiles({ keyring: h.keyring, indexPath: h.at("revisions.json") });
  await files.load({ mustExist: true });
});

test("a sealed file is read at its newest revision only; the index catches up after a crash", async () => {
  await using h = await home();
  const files = await h.open();
  const path = h.at("box.json");
  const open = (value: unknown): { rev: number; value: string } | null => {
    const { rev, text } = value as { rev?: number; text?: string };
    return rev === undefined || text === undefined ? null : { rev, value: text };
  };
  const write = (text: string): Promise<number> => files.writeSealed({ kind: "box", name: "a", path, open }, (rev) => ({ rev, text }));
  const read = (): ReturnType<typeof files.readSealed<string>> => files.readSealed("box", "a", path, open);
  expect(await read()).toEqual({ state: "absent" });
  expect(await write("one")).toBe(1);
  const old = await readFile(path);
  expect(await write("two")).toBe(2);
  expect(await read()).toEqual({ state: "ok", value: "two", rev: 2 });
  expect(files.names("box")).toEqual(["a"]);
  await writeFile(path, old);
  expect(await read()).toEqual({ state: "tampered", reason: "replayed" });
  await writeFile(path, "{}");
  expect(await read()).toEqual({ state: "tampered", reason: "bad_signature" });
  await writeFile(path, JSON.stringify({ rev: 4, text: "four" }));
  expect(await read()).toEqual({ state: "tampered", reason: "revision_ahead" });
  await writeFile(path, JSON.stringify({ rev: 3, text: "three" }));
  expect(await read()).toEqual({ state: "ok", value: "three", rev: 3 });
  await rm(path);
  expect(await read()).toEqual({ state: "tampered", reason: "missing" });
  expect(await write("again")).toBe(4);
  const refused = files.writeSealed(
    { kind: "box", name: "a", path, open },
    (rev) => ({ rev, text: "never" }),
    () => Promise.reject(new Error("no audit")),
  );
  await expect(refused).rejects.toThrow("no audit");
  expect(await read()).toEqual({ state: "ok", value: "again", rev: 4 });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { systemRandom, type JsonObject, type PackId, type SecretKey } from "@rumi/core";
import { ManualClock, MemoryAudit, MemoryDiagnostics } from "@rumi/core/testing";
import { Keyring, SignedFiles } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { findSecretKeySource, LiveSecrets, SecretStore } from "./index.ts";
import type { SecretKeySource, SecretStoreDeps } from "./index.ts";

const HOUR = 60 * 60 * 1000;
const OPERATOR = "token:t1";

interface Home extends AsyncDisposable {
  readonly userData: string;
  readonly clock: ManualClock;
  readonly audit: MemoryAudit;
  readonly diagnostics: MemoryDiagnostics;
  file(...names: string[]): string;
  open(key?: SecretKeySource): Promise<SecretStore>;
  deps(key?: SecretKeySource): Promise<SecretStoreDeps>;
}

async function home(): Promise<Home> {
  const folder = await temporaryFolder();
  const file = (...names: string[]): string => join(folder.path, ...names);
  const [clock, audit, diagnostics] = [new ManualClock(), new MemoryAudit(), new MemoryDiagnostics()];
  const deps = async (key?: SecretKeySource): Promise<SecretStoreDeps> => {
    const keyring = await Keyring.open(file(".secret_key"));
    const signed = new SignedFiles({ keyring, indexPath: file("revisions.json") });
    await signed.load();
    const source = key ?? (await findSecretKeySource({ userData: folder.path }));
    return { userData: folder.path, key: source, signed, audit, clock, random: systemRandom, live: new LiveSecrets(), diagnostics };
  };
  return {
    userData: folder.path,
    clock,
    audit,
    diagnostics,
    file,
    deps,
    open: async (key) => SecretStore.open(await deps(key)),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function code(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => null,
    (error: unknown) => (error as { code?: unknown }).code,
  );
}

test("a value comes back after a restart, and its key file belongs to its owner alone", async () => {
  await using h = await home();
  {
    await using store = await h.open();
    expect(store.state).toBe("open");
    expect(await readdir(h.userData)).not.toContain("settings");
    expect(await store.set("API_KEY", "value of the key", OPERATOR)).toEqual({ key: "API_KEY", created: true, warnings: [] });
    expect(await store.set("API_KEY", "another value", OPERATOR)).toMatchObject({ created: false });
  }
  for (const path of [h.file("settings/.secrets_key"), h.file("secrets/API_KEY.json"), h.file("secrets/journal.jsonl")]) {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  }
  const deps = await h.deps();
  await using store = await SecretStore.open(deps);
  expect(await store.read("API_KEY")).toBe("another value");
  expect(deps.live.redact("it is another value!")).toBe("it is [REDACTED]!");
  expect(JSON.parse(await readFile(h.file("secrets/API_KEY.json"), "utf8"))).toMatchObject({
    v: 1,
    key: "API_KEY",
    rev: 2,
    deleted_at: null,
  });
});

test("T62 keys and values that are refused, each with its code, audited without the value", async () => {
  await using h = await home();
  await using store = await h.open();
  for (const key of ["abc", "A\n", "A".repeat(65), "", 5, null, "A B", "../A"])
    expect(await code(store.set(key, "long enough", "me"))).toBe("secrets.invalid_key");
  for (const value of [5, null, undefined, {}, ["abcd"], "ab\ud800cd"])
    expect(await code(store.set("A", value, "me"))).toBe("secrets.invalid_value");
  for (const value of ["", "abc", "\u00e9"]) expect(await code(store.set("A", value, "me"))).toBe("secrets.too_short");
  expect(await code(store.set("A", "x".repeat(64 * 1024 + 1), "me"))).toBe("secrets.too_large");
  expect(store.list()).toEqual([]);
  expect(h.audit.events.map(({ action }) => action)).toContain("secrets.too_short");
  expect((await store.set("A", "1234567", "me")).warnings).toHaveLength(1);
  expect(await store.set("B", "12345678", "me")).toEqual({ key: "B", created: true, warnings: [] });
  expect(await store.set("C", "x".repeat(64 * 1024), "me")).toMatchObject({ created: true });
  expect(await store.read("A")).toBe("1234567");
});

test("a deleted secret leaves a tombstone; one that never was is not found", async () => {
  await using h = await home();
  await using store = await h.open();
  expect(await code(store.delete("A", OPERATOR))).toBe("secrets.not_found");
  await store.set("A", "first value", OPERATOR);
  h.clock.advance(1000);
  expect(await store.delete("A", OPERATOR)).toEqual({ key: "A", deleted: true });
  expect(await store.delete("A", OPERATOR)).toEqual({ key: "A", deleted: true });
  expect(await store.read("A")).toBe(null);
  expect(store.list()).toEqual([
    {
      key: "A",
      exists: false,
      deleted: true,
      masked: "********",
      created_at: "2026-01-01T00:00:00.000Z",
      updated_at: "2026-01-01T00:00:01.000Z",
      deleted_at: "2026-01-01T00:00:01.000Z",
      last_used_at: null,
    },
  ]);
  expect(await store.set("A", "again a value", OPERATOR)).toMatchObject({ created: true });
  const journal = (await readFile(h.file("secrets/journal.jsonl"), "utf8")).trimEnd().split("\n");
  expect(journal.map((line) => (JSON.parse(line) as JsonObject).action)).toEqual(["set", "delete", "set"]);
  expect(h.audit.events.map(({ action, success }) => [action, success])).toEqual([
    ["secrets.not_found", false],
    ["secret_set", true],
    ["secret_delete", true],
    ["secret_set", true],
  ]);
});

test("T52 absent, deleted, undecryptable, tampered and locked all read as null", async () => {
  await using h = await home();
  {
    await using store = await h.open();
    for (const key of ["GONE", "BROKEN", "TAMPERED"]) await store.set(key, `value of ${key}`, OPERATOR);
    await store.delete("GONE", OPERATOR);
    const path = h.file("secrets/BROKEN.json");
    await writeFile(
      path,
      (await readFile(path, "utf8")).replace(/"tag": "./u, (tag) => `${tag.slice(0, -1)}${tag.endsWith("0") ? "1" : "0"}`),
    );
    await writeFile(h.file("secrets/TAMPERED.json"), "nonsense");
    for (const key of ["ABSENT", "GONE", "BROKEN", "TAMPERED", "abc", "__proto__"]) expect(await store.read(key)).toBe(null);
    expect(store.list().map(({ key, unreadable }) => [key, unreadable])).toEqual([
      ["BROKEN", true],
      ["GONE", undefined],
      ["TAMPERED", true],
    ]);
    expect(await store.set("BROKEN", "mended again", OPERATOR)).toMatchObject({ created: true });
    expect(await store.read("BROKEN")).toBe("mended again");
  }
  expect(h.audit.events.filter(({ action }) => action === "record_tampered")).toHaveLength(2);
  await rm(h.file("settings/.secrets_key"));
  await using store = await h.open();
  expect(await store.read("BROKEN")).toBe(null);
});

test("T60 a file copied over another, or an old ciphertext put back, is refused, while running and after a restart", async () => {
  await using h = await home();
  const [a, b, old] = [h.file("secrets/A.json"), h.file("secrets/B.json"), h.file("old")];
  {
    await using store = await h.open();
    await store.set("A", "value of A", OPERATOR);
    await store.set("B", "value of B", OPERATOR);
    await copyFile(a, old);
    await store.set("A", "new value of A", OPERATOR);
    await copyFile(a, b);
    expect(await store.read("B")).toBe(null);
    const newer = await readFile(a);
    await copyFile(old, a);
    expect(await store.read("A")).toBe(null);
    await writeFile(a, newer);
    expect(await store.read("A")).toBe("new value of A");
    await copyFile(old, a);
    await copyFile(a, h.file("secrets/NEVER.json"));
    expect(await store.read("NEVER")).toBe(null);
  }
  await using store = await h.open();
  expect([await store.read("A"), await store.read("B"), await store.read("NEVER")]).toEqual([null, null, null]);
  expect(store.state).toBe("open");
  await rm(a);
  expect(await store.read("A")).toBe(null);
  expect(store.list().find(({ key }) => key === "A")).toMatchObject({ unreadable: true });
  const tombstone = await readFile(h.file("secrets/B.json"));
  await store.set("B", "value of B again", OPERATOR);
  await store.delete("B", OPERATOR);
  await writeFile(h.file("secrets/B.json"), tombstone);
  expect(await store.read("B")).toBe(null);
});

test("T60 no member of a file can be changed", async () => {
  await using h = await home();
  await using store = await h.open();
  await store.set("A", "value of A", OPERATOR);
  const path = h.file("secrets/A.json");
  const file = JSON.parse(await readFile(path, "utf8")) as JsonObject & { ciphertext: string; tag: string };
  const changes: JsonObject[] = [
    { rev: 2 },
    { kid: "00".repeat(8) },
    { nonce: "00".repeat(12) },
    { ciphertext: "" },
    { ciphertext: `${file.ciphertext.slice(0, -4)}AAAA` },
    { tag: "00".repeat(16) },
    { tag: file.tag.slice(0, 8) },
    { created_at: "2020-01-01T00:00:00.000Z" },
    { deleted_at: "2020-01-01T00:00:00.000Z" },
    { v: 2 },
    { more: 1 },
  ];
  for (const change of changes) {
    await writeFile(path, JSON.stringify({ ...file, ...change }));
    expect(await store.read("A"), JSON.stringify(change)).toBe(null);
  }
  await writeFile(path, JSON.stringify(file));
  expect(await store.read("A")).toBe("value of A");
});

test.each(["gone", "another", "open to others", "nonsense"])(
  "T61 the secrets key %s: locked, set refused, nothing made anew",
  async (what) => {
    await using h = await home();
    const keyFile = h.file("settings/.secrets_key");
    {
      await using store = await h.open();
      await store.set("A", "value of A", OPERATOR);
    }
    const before = await readFile(keyFile);
    if (what === "gone") await rm(keyFile);
    if (what === "another") await writeFile(keyFile, `${Buffer.alloc(32, 7).toString("base64")}\n`);
    if (what === "open to others") await chmod(keyFile, 0o644);
    if (what === "nonsense") await writeFile(keyFile, "nonsense");
    {
      await using store = await h.open();
      expect(store.state).toBe("locked");
      expect(store.lockedReason).toMatch(/key/u);
      expect(await code(store.set("B", "value of B", OPERATOR))).toBe("secrets.locked");
      expect(await code(store.delete("A", OPERATOR))).toBe("secrets.locked");
      expect(await code(store.rotateKey(OPERATOR))).toBe("secrets.locked");
      expect(await store.read("A")).toBe(null);
      expect(store.list()).toMatchObject([{ key: "A", unreadable: true }]);
      if (what === "gone") expect(await readdir(h.file("settings"))).toEqual([]);
    }
    expect(h.diagnostics.reports).toMatchObject([{ id: "keys", status: "failed", code: "secrets.locked" }]);
    await writeFile(keyFile, before);
    await chmod(keyFile, 0o600);
    await using store = await h.open();
    expect(await store.read("A")).toBe("value of A");
  },
);

test("a key taken away while the daemon runs does not lead to a second one", async () => {
  await using h = await home();
  await using first = await h.open();
  await using second = await h.open();
  await first.set("A", "value of A", OPERATOR);
  await rm(h.file("settings/.secrets_key"));
  expect(await code(second.set("B", "value of B", OPERATOR))).toBe("secrets.locked");
  expect(await readdir(h.file("settings"))).toEqual([]);
});

test("key sources: the configured file, else the credential, else the home's own", async () => {
  await using h = await home();
  const userData = h.userData;
  const keyFile = h.file("key");
  expect(await findSecretKeySource({ userData, keyFile, credentials: userData })).toEqual({ kind: "file", path: keyFile });
  expect(await findSecretKeySource({ userData, credentials: userData })).toMatchObject({ kind: "settings" });
  await writeFile(h.file("rumi-secrets-key"), `${Buffer.alloc(32, 1).toString("base64")}\n`, { mode: 0o444 });
  const credential = await findSecretKeySource({ userData, credentials: userData });
  expect(credential.kind).toBe("credential");
  {
    await using store = await h.open({ kind: "file", path: keyFile });
    expect(await code(store.set("A", "value of A", OPERATOR))).toBe("secrets.locked");
  }
  {
    await using store = await h.open(credential);
    await store.set("A", "value of A", OPERATOR);
    expect(await code(store.rotateKey(OPERATOR))).toBe("secrets.locked");
  }
  await writeFile(h.file("rotated"), [2, 1].map((byte) => `${Buffer.alloc(32, byte).toString("base64")}\n`).join(""), { mode: 0o400 });
  {
    await using store = await h.open({ kind: "credential", path: h.file("rotated") });
    expect(await store.read("A")).toBe("value of A");
  }
  await using store = await h.open(credential);
  expect(store.state).toBe("locked");
});

test("rotate-key puts everything under a new key; a stop in the middle goes on at the next start", async () => {
  await using h = await home();
  const keyFile = h.file("settings/.secrets_key");
  let old: string;
  {
    await using store = await h.open();
    for (const key of ["A", "B", "C"]) await store.set(key, `value of ${key}`, OPERATOR);
    await store.delete("C", OPERATOR);
    old = await readFile(keyFile, "utf8");
    const sealed = store.seal({ a: "value of A" }, "run_1/step");
    expect(await store.rotateKey(OPERATOR)).toMatchObject({ rotated: 3 });
    expect(store.unseal(sealed, "run_1/step")).toEqual({ a: "value of A" });
    expect([await store.read("A"), await store.read("B"), await store.read("C")]).toEqual(["value of A", "value of B", null]);
  }
  const rotated = await readFile(keyFile, "utf8");
  expect(rotated.startsWith(old)).toBe(false);
  // As a crash leaves it: the next key is first in the file, the secrets are still under the one behind it.
  await writeFile(keyFile, `${Buffer.alloc(32, 9).toString("base64")}\n${rotated}`);
  {
    await using store = await h.open();
    expect(await store.read("A")).toBe("value of A");
  }
  await writeFile(keyFile, `${Buffer.alloc(32, 9).toString("base64")}\n`);
  await using store = await h.open();
  expect([store.state, await store.read("A"), await store.read("B"), await store.read("C")]).toEqual([
    "open",
    "value of A",
    "value of B",
    null,
  ]);
});

test("T59 no file of a home, no audit entry and no error holds a value in any form", async () => {
  await using h = await home();
  const value = 's3cr3t "v\u00e4lue" / 42';
  const errors: unknown[] = [];
  {
    await using store = await h.open();
    await store.set("A", value, OPERATOR);
    await store.set("B", value, OPERATOR);
    await store.read("A");
    await store.rotateKey(OPERATOR);
    for (const key of ["abc", "A\n"]) await store.set(key, value, OPERATOR).catch((error: unknown) => errors.push(error));
    await store.set("A", value.repeat(5000), OPERATOR).catch((error: unknown) => errors.push(error));
    await rm(h.file("secrets"), { recursive: true });
    await writeFile(h.file("secrets"), "");
    await store.set("C", value, OPERATOR).catch((error: unknown) => errors.push(error));
  }
  expect(errors).toHaveLength(4);
  const live = new LiveSecrets();
  live.set("A" as SecretKey, value);
  const shown = errors.map((error) => JSON.stringify([String(error), error, (error as Error).stack, String((error as Error).cause)]));
  for (const text of [...shown, JSON.stringify(h.audit.events), JSON.stringify(h.diagnostics.reports)])
    expect(live.holds(text)).toBe(false);
  for (const entry of await readdir(h.userData, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) expect(live.holds(await readFile(join(entry.parentPath, entry.name), "latin1"))).toBe(false);
  }
});

test("the time of the last use survives a restart, to the hour", async () => {
  await using h = await home();
  {
    await using store = await h.open();
    await store.set("A", "value of A", OPERATOR);
    await store.read("A");
    h.clock.advance(HOUR / 2);
    await store.read("A");
    expect(store.list()[0]?.last_used_at).toBe("2026-01-01T00:30:00.000Z");
  }
  await using store = await h.open();
  expect(store.list()[0]?.last_used_at).toBe("2026-01-01T00:00:00.000Z");
});

test("values of older installations are masked at once, readable once migrated", async () => {
  await using h = await home();
  await (await h.open())[Symbol.asyncDispose]();
  await writeFile(h.file("secrets/OLD.json"), JSON.stringify({ key: "OLD", value: "in the clear", created_at: "x" }));
  await writeFile(h.file("secrets/TINY.json"), JSON.stringify({ key: "TINY", value: "abc" }));
  const deps = await h.deps();
  await using store = await SecretStore.open(deps);
  expect(store.state).toBe("open");
  expect(await store.read("OLD")).toBe(null);
  expect(deps.live.redact("is in the clear")).toBe("is [REDACTED]");
  expect(await store.migrate(OPERATOR)).toEqual({ migrated: ["OLD"], refused: [{ key: "TINY", code: "secrets.too_short" }] });
  expect(await store.read("OLD")).toBe("in the clear");
  expect(await readFile(h.file("secrets/OLD.json"), "utf8")).not.toContain("clear");
});

test("a sealed value opens only where it was sealed", async () => {
  await using h = await home();
  await using store = await h.open();
  expect(() => store.seal("x", "run")).toThrow("no key");
  await store.set("A", "value of A", OPERATOR);
  const sealed = store.seal({ deep: ["value of A", 1, null] }, "run/step");
  expect(JSON.stringify(sealed)).not.toContain("value");
  expect(store.unseal(sealed, "run/step")).toEqual({ deep: ["value of A", 1, null] });
  for (const [value, context] of [
    [sealed, "run/other"],
    [{ $sealed: { ...sealed.$sealed, tag: "00".repeat(16) } }, "run/step"],
    ["text", "run/step"],
    [null, "run/step"],
  ] as const) {
    expect(store.unseal(value, context)).toBe(undefined);
  }
});

test("T67 suspensions outlive a restart", async () => {
  await using h = await home();
  const [pack, key] = ["bad_pack" as PackId, "A" as SecretKey];
  {
    await using store = await h.open();
    for (let hit = 1; hit <= 4; hit++) expect(await store.watch.note(pack, key)).toBe(false);
  }
  {
    await using store = await h.open();
    expect(store.watch.suspended(pack, key)).toBe(false);
    expect(await store.watch.note(pack, key)).toBe(true);
  }
  await using store = await h.open();
  expect(store.watch.suspended(pack, key)).toBe(true);
  expect(await store.watch.lift(pack, key, OPERATOR)).toBe(true);
  await using again = await h.open();
  expect(again.watch.suspended(pack, key)).toBe(false);
});

test("T15 killed in any write or rotation: each value is the old or the new one", async () => {
  await using h = await home();
  const at = pathToFileURL(join(import.meta.dirname, "index.ts")).href;
  const source = `
    import { systemClock, systemRandom } from "@rumi/core";
    import { Keyring, SignedFiles } from "@rumi/safe-files";
    import { findSecretKeySource, LiveSecrets, SecretStore } from ${JSON.stringify(at)};
    const userData = ${JSON.stringify(h.userData)};
    const keyring = await Keyring.open(userData + "/.secret_key");
    const signed = new SignedFiles({ keyring, indexPath: userData + "/revisions.json" });
    await signed.load();
    const audit = { record: () => Promise.resolve() };
    const key = await findSecretKeySource({ userData });
    const store = await SecretStore.open({ userData, key, signed, audit, clock: systemClock, random: systemRandom, live: new LiveSecrets() });
    if (store.state === "locked") throw new Error(store.lockedReason);
    const start = Number((await store.read("A"))?.slice(6) ?? 0);
    for (let n = start + 1; ; n++) {
      await store.set("A", "value " + n, "me");
      process.send(n);
      if (n % 3 === 0) await store.rotateKey("me");
    }`;
  let acknowledged = 0;
  for (let round = 0; round < 6; round++) {
    const args = ["--conditions=rumi-source", "--disable-warning=ExperimentalWarning", "--input-type=module", "-e", source];
    const child = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: ["ignore", "ignore", "inherit", "ipc"] });
    child.on("message", (message) => {
      if (typeof message === "number") acknowledged = message;
    });
    await once(child, "message");
    await setTimeout(11 + 17 * round);
    child.kill("SIGKILL");
    await once(child, "exit");
    await using store = await h.open();
    expect(store.state).toBe("open");
    const found = Number((await store.read("A"))?.slice(6));
    expect([acknowledged, acknowledged + 1]).toContain(found);
  }
});

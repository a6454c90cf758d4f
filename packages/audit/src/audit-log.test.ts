import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { AuditCategory, AuditEvent, JsonObject } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { signHead } from "./heads.ts";
import { AuditLog, MAX_ENTRY_BYTES, REDACTED, type AuditFault, type AuditLogDeps } from "./index.ts";

const KEY = new Uint8Array(32).fill(7);
const DAY = "2026-01-01";

interface Home extends AsyncDisposable {
  readonly deps: AuditLogDeps & { clock: ManualClock };
  readonly path: string;
  file(name: string): string;
}

async function home(): Promise<Home> {
  const folder = await temporaryFolder();
  const deps = {
    folder: join(folder.path, "audit"),
    headsPath: join(folder.path, "settings/audit_heads.jsonl"),
    key: KEY,
    kid: "k1",
    clock: new ManualClock(),
  };
  return {
    deps,
    path: folder.path,
    file: (name) => join(deps.folder, name),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function event(category: AuditCategory, n: number, more: Partial<AuditEvent> = {}): AuditEvent {
  return { category, action: `act_${n}`, success: true, details: { n }, ...more };
}

/** A closed log of 12 entries: security 1 3 5 7 9 11 and system 2 4 6 8 10 12. */
async function twelve(h: Home): Promise<void> {
  await using log = await AuditLog.open(h.deps);
  for (let n = 1; n <= 12; n++) {
    await log.record(event(n % 2 === 1 ? "security" : "system", n));
    h.deps.clock.advance(1000);
  }
  await log.flush();
}

async function lines(path: string): Promise<string[]> {
  return (await readFile(path, "utf8")).trimEnd().split("\n");
}

async function edit(path: string, change: (all: string[]) => string[]): Promise<void> {
  const changed = change(await lines(path));
  await writeFile(path, changed.map((line) => `${line}\n`).join(""));
}

async function verdict(h: Home): Promise<unknown> {
  await using log = await AuditLog.open(h.deps);
  return (await log.verify()).first_bad;
}

test("entries of all categories form one chain over the files, which verifies", async () => {
  await using h = await home();
  await twelve(h);
  expect((await readdir(h.deps.folder)).toSorted()).toEqual([`security_${DAY}.jsonl`, `system_${DAY}.jsonl`]);
  const [first] = await lines(h.file(`security_${DAY}.jsonl`));
  const entry = JSON.parse(first ?? "") as JsonObject;
  expect(Object.keys(entry)).toEqual(["seq", "ts", "category", "severity", "action", "success", "details", "kid", "prev", "mac"]);
  expect(entry).toMatchObject({ seq: 1, ts: `${DAY}T00:00:00.000Z`, severity: "info", kid: "k1", prev: "0".repeat(64) });
  expect((await stat(h.file(`security_${DAY}.jsonl`))).mode & 0o777).toBe(0o600);
  await using log = await AuditLog.open(h.deps);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 12, last_seq: 12, first_bad: null });
  await log.record(event("approval", 13));
  expect(await log.verify()).toMatchObject({ ok: true, entries: 13 });
});

const TAMPERINGS: readonly [title: string, seq: number, kind: AuditFault, change: (h: Home) => Promise<void>][] = [
  [
    "an edited value",
    5,
    "edited",
    (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => all.map((line) => line.replace("act_5", "act_6"))),
  ],
  [
    "an edited place",
    5,
    "edited",
    (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => all.map((line) => line.replace('"seq":5,', '"seq":50,'))),
  ],
  [
    "an edited mac",
    4,
    "edited",
    (h) =>
      edit(h.file(`system_${DAY}.jsonl`), (all) =>
        all.map((line) => (line.includes('"seq":4,') ? line.replace(/"mac":"../u, '"mac":"zz') : line)),
      ),
  ],
  [
    "a foreign key",
    4,
    "unknown_key",
    (h) =>
      edit(h.file(`system_${DAY}.jsonl`), (all) => all.map((line) => (line.includes('"seq":4,') ? line.replace('"k1"', '"k2"') : line))),
  ],
  ["an inserted copy", 3, "inserted", (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => all.toSpliced(2, 0, all[1] ?? ""))],
  ["an old entry copied to the end", 1, "inserted", (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => [...all, all[0] ?? ""])],
  [
    "an inserted forgery",
    6,
    "edited",
    (h) => edit(h.file(`system_${DAY}.jsonl`), (all) => all.toSpliced(2, 0, (all[2] ?? "").replace("act_6", "forged"))),
  ],
  ["an inserted line of nonsense", 2, "unreadable", (h) => edit(h.file(`system_${DAY}.jsonl`), (all) => ["nonsense", ...all])],
  [
    "a deleted entry",
    5,
    "missing",
    (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => all.filter((line) => !line.includes('"seq":5,'))),
  ],
  [
    "two entries in the wrong order",
    5,
    "reordered",
    (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => [0, 1, 3, 2, 4, 5].map((n) => all[n] ?? "")),
  ],
  ["a lost file", 2, "missing", (h) => rm(h.file(`system_${DAY}.jsonl`))],
  ["a cut start", 1, "missing", (h) => edit(h.file(`security_${DAY}.jsonl`), (all) => all.slice(1))],
  [
    "a cut end",
    11,
    "cut_tail",
    async (h) => {
      await edit(h.file(`security_${DAY}.jsonl`), (all) => all.slice(0, -1));
      await edit(h.file(`system_${DAY}.jsonl`), (all) => all.slice(0, -1));
    },
  ],
  ["all files lost", 1, "cut_tail", (h) => rm(h.deps.folder, { recursive: true })],
  [
    "an edited head",
    12,
    "head_edited",
    (h) => edit(h.deps.headsPath, (all) => all.map((line, n) => (n === 0 ? line.replace('"seq":0', '"seq":1') : line))),
  ],
];

test.each(TAMPERINGS)("T90 %s is found and its place named", async (_title, seq, kind, change) => {
  await using h = await home();
  await twelve(h);
  await change(h);
  expect(await verdict(h)).toEqual({ seq, kind });
});

test("T90 every single entry edited or deleted is named", async () => {
  await using h = await home();
  await twelve(h);
  for (let seq = 1; seq <= 12; seq++) {
    const path = h.file(`${seq % 2 === 1 ? "security" : "system"}_${DAY}.jsonl`);
    const whole = await readFile(path, "utf8");
    const heads = await readFile(h.deps.headsPath, "utf8");
    await edit(path, (all) => all.map((line) => line.replace(`"n":${seq}}`, `"n":${seq + 100}}`)));
    expect(await verdict(h)).toEqual({ seq, kind: "edited" });
    await writeFile(path, whole);
    await edit(path, (all) => all.filter((line) => !line.includes(`"seq":${seq},`)));
    expect(await verdict(h)).toMatchObject({ seq, kind: seq === 12 ? "cut_tail" : "missing" });
    await writeFile(path, whole);
    await writeFile(h.deps.headsPath, heads);
  }
  expect(await verdict(h)).toBeNull();
});

test("T90 lost heads, and a log cut back together with its heads against a head kept elsewhere", async () => {
  await using h = await home();
  await twelve(h);
  await using log = await AuditLog.open(h.deps);
  const kept = log.summary().last_head;
  if (kept === null) throw new Error("no head was signed");
  await edit(h.deps.headsPath, (all) => all.slice(0, 1));
  await edit(h.file(`system_${DAY}.jsonl`), (all) => all.slice(0, -1));
  await using again = await AuditLog.open(h.deps);
  expect((await again.verify()).first_bad).toBeNull();
  expect((await again.verify({ head: kept })).first_bad).toEqual({ seq: 12, kind: "cut_tail" });
  await rm(h.deps.headsPath);
  expect((await again.verify()).first_bad).toEqual({ seq: 11, kind: "heads_lost" });
});

test("T90 a clock set back is named; the small steps of clock correction are not", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  await log.record(event("security", 1));
  h.deps.clock.advance(-500);
  await log.record(event("security", 2));
  expect((await log.verify()).ok).toBe(true);
  h.deps.clock.advance(-24 * 3600 * 1000);
  await log.record(event("security", 3));
  h.deps.clock.advance(48 * 3600 * 1000);
  await log.record(event("security", 4));
  expect((await log.verify()).first_bad).toEqual({ seq: 3, kind: "clock_back" });
});

test("a day's end and full parts begin new files in the same chain", async () => {
  await using h = await home();
  {
    await using log = await AuditLog.open(h.deps, { maxPartBytes: 1500 });
    for (let n = 1; n <= 8; n++) await log.record(event("permission", n));
    h.deps.clock.advance(24 * 3600 * 1000);
    await log.record(event("permission", 9));
  }
  await using log = await AuditLog.open(h.deps, { maxPartBytes: 1500 });
  await log.record(event("permission", 10));
  const names = (await readdir(h.deps.folder)).toSorted();
  expect(names).toContain(`permission_${DAY}.1.jsonl`);
  expect(names).toContain("permission_2026-01-02.jsonl");
  for (const name of names) expect((await stat(h.file(name))).size).toBeLessThanOrEqual(1500);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 10 });
  expect((await log.query()).items.map((entry) => entry.seq)).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
});

test("200 events at once are each on disk when answered, in their order", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      await log.record(event("security", n));
      if (n % 50 === 0) expect(await readFile(h.file(`security_${DAY}.jsonl`), "utf8")).toContain(`"act_${n}"`);
    }),
  );
  const actions = (await lines(h.file(`security_${DAY}.jsonl`))).map((line) => (JSON.parse(line) as JsonObject).action);
  expect(actions).toEqual(Array.from({ length: 200 }, (_, n) => `act_${n}`));
  expect((await log.verify()).ok).toBe(true);
  expect(log.summary()).toMatchObject({ last_seq: 200, available: true, entries: { security: { total: 200, failed: 0 } } });
});

test("an entry that need not be durable reaches the file by itself", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  await log.record(event("flow_execution", 1));
  await expect.poll(() => readFile(h.file(`flow_execution_${DAY}.jsonl`), "utf8").catch(() => "")).toContain("act_1");
});

test("while the disk refuses, durable entries fail and nothing of them stays; afterwards the chain goes on whole", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  await log.record(event("security", 1));
  // A folder where the next file belongs refuses like a full disk: at the write.
  await mkdir(h.file(`permission_${DAY}.jsonl`));
  const results = await Promise.allSettled([
    log.record(event("security", 2)),
    log.record(event("system", 3)),
    log.record(event("permission", 4)),
  ]);
  expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled", "rejected"]);
  expect(results[2]).toMatchObject({ reason: { code: "audit.unavailable" } });
  expect(await lines(h.file(`security_${DAY}.jsonl`))).toHaveLength(1);
  expect(log.summary().available).toBe(false);
  await rm(h.file(`permission_${DAY}.jsonl`), { recursive: true });
  await log.record(event("permission", 5));
  expect((await log.query()).items.map((entry) => entry.action)).toEqual(["act_5", "act_3", "act_1"]);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 3 });
  expect(log.summary()).toMatchObject({ available: true, dropped: 0 });
});

test("a closed log takes nothing", async () => {
  await using h = await home();
  const log = await AuditLog.open(h.deps);
  await log[Symbol.asyncDispose]();
  await expect(log.record(event("system", 1))).rejects.toMatchObject({ code: "audit.unavailable" });
});

test("a half-written last line is set aside, told, and the chain goes on", async () => {
  await using h = await home();
  await twelve(h);
  await appendFile(h.file(`system_${DAY}.jsonl`), '{"seq":13,"ts":"20');
  await using log = await AuditLog.open(h.deps);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 13 });
  const { items } = await log.query({ limit: 1 });
  expect(items[0]).toMatchObject({ seq: 13, action: "recover", details: { torn_bytes: 18, orphans: 0, after_seq: 12 } });
  const [aside] = await readdir(h.file("aside"));
  expect(await readFile(h.file(`aside/${aside}`), "utf8")).toBe('{"seq":13,"ts":"20\n');
});

test("lines behind one that a power cut lost are set aside, unless a head vouched for it", async () => {
  await using h = await home();
  await twelve(h);
  const heads = await readFile(h.deps.headsPath, "utf8");
  {
    await using log = await AuditLog.open(h.deps);
    await log.record(event("security", 13));
    await log.record(event("approval", 14));
    await log.record(event("security", 15));
  }
  const unheaded = (): Promise<void> => writeFile(h.deps.headsPath, heads);
  await edit(h.file(`approval_${DAY}.jsonl`), () => []);
  expect(await verdict(h)).toEqual({ seq: 14, kind: "missing" });
  await unheaded();
  await using log = await AuditLog.open(h.deps);
  expect((await log.query({ limit: 2 })).items.map((entry) => entry.action)).toEqual(["recover", "act_13"]);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 14 });
});

test("T15 a daemon killed with SIGKILL in the middle of writing leaves a chain that goes on and verifies", async () => {
  await using h = await home();
  const source = `
    import { AuditLog } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "index.ts")).href)};
    const log = await AuditLog.open({ folder: ${JSON.stringify(h.deps.folder)}, headsPath: ${JSON.stringify(h.deps.headsPath)},
      key: new Uint8Array(32).fill(7), kid: "k1", clock: { now: () => ${h.deps.clock.now()}, monotonic: () => performance.now() } });
    process.send("ready");
    let acknowledged = 0;
    for (let n = 0; ; n++) {
      const some = ["flow_execution", "system", "network"].map((category) => log.record({ category, action: "a", success: true, details: { text: "x".repeat(300) } }));
      await Promise.all([...some, log.record({ category: "security", action: "durable", success: true, details: { n } })]);
      process.send(n);
    }`;
  for (let round = 0; round < 6; round++) {
    const args = ["--conditions=rumi-source", "--disable-warning=ExperimentalWarning", "--input-type=module", "-e", source];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    let acknowledged = -1;
    child.on("message", (message) => {
      if (typeof message === "number") acknowledged = message;
    });
    await once(child, "message");
    await setTimeout(15 + 23 * round);
    child.kill("SIGKILL");
    await once(child, "exit");
    await using log = await AuditLog.open(h.deps);
    expect(await log.verify()).toMatchObject({ ok: true, first_bad: null });
    const { items } = await log.query({ action: "durable", limit: 1 });
    expect(Number(items[0]?.details?.n ?? -1)).toBeGreaterThanOrEqual(acknowledged);
  }
});

test("pages of a query hold each matching entry once, newest first", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  const categories = ["security", "system", "approval", "network"] as const;
  for (let n = 1; n <= 250; n++) {
    void log.record(event(categories[n % 4] ?? "system", n, { success: n % 3 !== 0, owner_pack: n % 2 === 0 ? "even" : "odd" }));
    h.deps.clock.advance(600_000);
  }
  const seen: number[] = [];
  let cursor: string | null = null;
  do {
    const page = await log.query({ limit: 40, pack: "even", success: true, ...(cursor === null ? {} : { cursor }) });
    seen.push(...page.items.map((entry) => entry.seq));
    cursor = page.next_cursor;
  } while (cursor !== null);
  const wanted = Array.from({ length: 250 }, (_, n) => 250 - n).filter((n) => n % 2 === 0 && n % 3 !== 0);
  expect(seen).toEqual(wanted);
  const one = await log.query({ category: "approval", from: "2026-01-01T12:00:00.000Z", to: "2026-01-01T13:00:00.000Z" });
  expect(one.items.map((entry) => entry.seq)).toEqual([78, 74]);
  expect(await log.query({ cursor: "zzz" })).toEqual({ items: [], next_cursor: null });
  expect((await log.query({ limit: 5000 })).items).toHaveLength(250);
});

test("a line is ASCII, at most 16 KiB, its texts at most 2 KiB, and holds no named secret", async () => {
  await using h = await home();
  await using log = await AuditLog.open({ ...h.deps, redact: (text) => text.replaceAll("hunter22", REDACTED) });
  const huge = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`k${n}`, "\u65e5".repeat(5000)]));
  await log.record(event("security", 1, { error: "日本\u{1f600}".repeat(2000), details: huge }));
  await log.record(
    event("security", 2, {
      error: "password is hunter22",
      details: { api_key: "abc", deep: [{ Cookie: "x=y" }], token_id: "t1", n: 2 ** 60, lone: "\ud800", u: undefined },
    }),
  );
  await log.record(event("security", 3, { error: "x".repeat(3000) }));
  const all = await lines(h.file(`security_${DAY}.jsonl`));
  for (const line of all) {
    expect(line).toMatch(/^[\x20-\x7e]*$/u);
    expect(line.length).toBeLessThanOrEqual(MAX_ENTRY_BYTES);
  }
  const [, second, third] = all.map((line) => JSON.parse(line) as JsonObject);
  expect(second).toMatchObject({
    error: `password is ${REDACTED}`,
    details: { api_key: REDACTED, deep: [{ Cookie: REDACTED }], token_id: "t1", n: String(2 ** 60), lone: "\ufffd" },
  });
  expect(third?.error).toHaveLength(2048);
  expect(await log.verify()).toMatchObject({ ok: true, entries: 3 });
});

test("heads carry the newest revision of the signed files, also over a restart", async () => {
  await using h = await home();
  {
    await using log = await AuditLog.open({ ...h.deps, revisionsRev: () => 41 });
    expect(log.knownRevision).toBe(0);
  }
  await using log = await AuditLog.open({ ...h.deps, revisionsRev: () => 0 });
  expect(log.knownRevision).toBe(41);
  expect(log.summary().last_head?.revisions_rev).toBe(41);
});

test("a month of heads and a log whose heads were cut to the first still open and are judged", { timeout: 60_000 }, async () => {
  await using h = await home();
  await (await AuditLog.open(h.deps))[Symbol.asyncDispose]();
  const head = signHead({ seq: 0, mac: "0".repeat(64), ts: `${DAY}T00:00:00.000Z`, revisions_rev: 7, kid: "k1" }, KEY);
  await writeFile(h.deps.headsPath, `${head}\n`.repeat(150_000));
  {
    await using log = await AuditLog.open(h.deps);
    expect(log.knownRevision).toBe(7);
    for (let n = 1; n <= 10; n++) await log.record(event("security", n));
    expect(await log.verify()).toMatchObject({ ok: true, entries: 10 });
  }
  const [line] = (await lines(h.file(`security_${DAY}.jsonl`))).slice(-1);
  await appendFile(h.file(`security_${DAY}.jsonl`), `${line}\n`.repeat(150_000));
  await writeFile(h.deps.headsPath, `${head}\n`);
  await using log = await AuditLog.open(h.deps);
  expect(await log.verify()).toMatchObject({ ok: false });
});

test("what a full disk refused at a day's end or in a full part leaves nothing in the file before it", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps, { maxPartBytes: 1500 });
  await log.record(event("permission", 1));
  // The last file of the batch refuses, after others were filled and left behind.
  await mkdir(h.file(`permission_${DAY}.3.jsonl`));
  const batch = Array.from({ length: 16 }, (_, n) => log.record(event("permission", n + 2)));
  expect((await Promise.allSettled(batch)).every((result) => result.status === "rejected")).toBe(true);
  expect((await stat(h.file(`permission_${DAY}.1.jsonl`))).size).toBe(0);
  await rm(h.file(`permission_${DAY}.3.jsonl`), { recursive: true });
  await log.record(event("permission", 10));
  expect(await log.verify()).toMatchObject({ ok: true, entries: 2 });
});

test("who records when thousands wait, waits for room; nothing is lost and the chain is whole", async () => {
  await using h = await home();
  await using log = await AuditLog.open(h.deps);
  const before = log.summary().last_seq;
  let taken = 0;
  const told = Array.from({ length: 10_000 }, async (_, n) => {
    await log.record(event("flow_execution", n));
    taken += 1;
  });
  await Promise.resolve();
  await Promise.resolve();
  expect(taken).toBeGreaterThan(3_000);
  expect(taken).toBeLessThan(10_000);
  await Promise.all(told);
  await log.flush();
  expect(log.summary().last_seq - before).toBe(10_000);
  expect(await log.verify()).toMatchObject({ ok: true });
});

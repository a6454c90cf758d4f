import { fork } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ManualClock, MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SharedDictionary } from "./shared-dictionary.ts";

let cleanup: AsyncDisposableStack;
let folder: string;
let audit: MemoryAudit;
let diagnostics: MemoryDiagnostics;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  folder = join(cleanup.use(await temporaryFolder("rumi-dict-")).path, "settings", "shared_dict");
  audit = new MemoryAudit();
  diagnostics = new MemoryDiagnostics();
});
afterEach(() => cleanup.disposeAsync());

async function open(): Promise<SharedDictionary> {
  const made = new SharedDictionary({ audit, diagnostics, clock: new ManualClock(), logger: silentLogger }, { folder });
  cleanup.use(made);
  await made.load();
  return made;
}

const at = (name: string): string => join(folder, name);
const propose = async (dict: SharedDictionary, token: string, value: string, namespace = "n"): Promise<string> =>
  (await dict.propose({ namespace, token, value }, "test")).result;
const journal = async (): Promise<Record<string, unknown>[]> =>
  (await readFile(at("journal.jsonl"), "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const status = (): string | undefined => diagnostics.reports.at(-1)?.status;

test("F81 F90 every operation is one line with its result, refused ones too", async () => {
  const dict = await open();
  expect(await propose(dict, "A", "B")).toBe("accepted");
  expect(await propose(dict, "B", "A")).toBe("cycle_detected");
  expect(await propose(dict, "C", "C")).toBe("cycle_detected");
  expect(await propose(dict, "A", "C")).toBe("conflict");
  expect(await propose(dict, "A", "B")).toBe("accepted");
  expect(await propose(dict, "", "x".repeat(300))).toBe("rejected");
  expect(await dict.remove({ namespace: "n", token: "A", value: "other" }, "test")).toMatchObject({ result: "not_found" });
  expect(await dict.remove({ namespace: "n", token: "A" }, "test")).toMatchObject({ result: "removed", value: "B" });
  expect(await dict.remove({ namespace: "n", token: "A" }, "test")).toMatchObject({ result: "not_found", value: null });
  const ts = "2026-01-01T00:00:00.000Z";
  const line = (op: string, token: string, value: string | null, result: string) => ({ ts, op, namespace: "n", token, value, result });
  expect(await journal()).toEqual([
    line("propose", "A", "B", "accepted"),
    line("propose", "B", "A", "cycle_detected"),
    line("propose", "C", "C", "cycle_detected"),
    line("propose", "A", "C", "conflict"),
    line("propose", "A", "B", "accepted"),
    line("propose", "", "x".repeat(256), "rejected"),
    line("remove", "A", "other", "not_found"),
    line("remove", "A", "B", "removed"),
    line("remove", "A", null, "not_found"),
  ]);
  expect(audit.events.map((event) => [event.category, event.action, event.success])).toEqual([
    ["system", "shared_dict", true],
    ...Array.from({ length: 3 }, () => ["system", "shared_dict", false]),
    ["system", "shared_dict", true],
    ["system", "shared_dict", false],
    ["system", "shared_dict", false],
    ["system", "shared_dict", true],
    ["system", "shared_dict", false],
  ]);
});

test("the operations guide's look at the journal finds the cycles", async () => {
  const dict = await open();
  await propose(dict, "A", "B");
  await propose(dict, "B", "A");
  // jq 'select(.result == "cycle_detected")'
  const found = (await journal()).filter((line) => line["result"] === "cycle_detected");
  expect(found).toEqual([expect.objectContaining({ op: "propose", namespace: "n", token: "B", value: "A" })]);
});

test("rules are there again after a restart; files and folder are the daemon's alone", async () => {
  const dict = await open();
  await propose(dict, "A", "B");
  await propose(dict, "B", "C", "other");
  await dict[Symbol.asyncDispose]();
  const again = await open();
  expect(again.list()).toEqual(dict.list());
  expect(again.resolve("n", "A")).toEqual({ value: "B", hops: 1 });
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  for (const file of ["snapshot.json", "journal.jsonl"]) expect((await stat(at(file))).mode & 0o777).toBe(0o600);
  await expect(propose(dict, "X", "Y")).rejects.toMatchObject({ code: "dict.unavailable" });
});

test.each([
  ["half written", () => truncate(at("snapshot.json"), 20)],
  ["empty", () => writeFile(at("snapshot.json"), "")],
  ["of another shape", () => writeFile(at("snapshot.json"), '{"version":2}')],
  [
    "with a cycle",
    () =>
      writeFile(
        at("snapshot.json"),
        '{"version":1,"journal_bytes":0,"rules":[{"namespace":"n","token":"A","value":"B"},{"namespace":"n","token":"B","value":"A"}]}',
      ),
  ],
  ["with a key of the language", () => writeFile(at("snapshot.json"), '{"__proto__":{},"version":1,"journal_bytes":0,"rules":[]}')],
  [
    "a link",
    async () => {
      await rm(at("snapshot.json"));
      await symlink("/etc/passwd", at("snapshot.json"));
    },
  ],
  [
    "a folder",
    async () => {
      await rm(at("snapshot.json"));
      await mkdir(at("snapshot.json"));
    },
  ],
])("F81 a snapshot that is %s is set aside, and the rules come from the journal", async (_, spoil) => {
  const dict = await open();
  await propose(dict, "A", "B");
  await propose(dict, "B", "C");
  await dict.remove({ namespace: "n", token: "A" }, "test");
  await dict[Symbol.asyncDispose]();
  await spoil();
  const again = await open();
  expect(again.list()).toEqual([{ namespace: "n", token: "B", value: "C" }]);
  expect(await readdir(folder)).toEqual(
    expect.arrayContaining(["journal.jsonl", "snapshot.json", "snapshot.json.broken-20260101T000000000Z"]),
  );
  expect(status()).toBe("degraded");
  await again[Symbol.asyncDispose]();
  expect((await open()).list()).toEqual(again.list());
  expect(status()).toBe("ok");
});

test("a snapshot that is gone or behind is made up for by the journal; one without its journal counts alone", async () => {
  const dict = await open();
  await propose(dict, "A", "B");
  const behind = await readFile(at("snapshot.json"));
  await propose(dict, "B", "C");
  await propose(dict, "D", "E");
  await dict[Symbol.asyncDispose]();
  await writeFile(at("snapshot.json"), behind);
  const caughtUp = await open();
  expect(caughtUp.list()).toEqual(dict.list());
  await caughtUp[Symbol.asyncDispose]();
  await rm(at("snapshot.json"));
  const rebuilt = await open();
  expect(rebuilt.list()).toEqual(dict.list());
  expect(status()).toBe("ok");
  await rebuilt[Symbol.asyncDispose]();
  await rm(at("journal.jsonl"));
  const alone = await open();
  expect(alone.list()).toEqual(dict.list());
  expect(status()).toBe("degraded");
  expect(await propose(alone, "F", "G")).toBe("accepted");
  await alone[Symbol.asyncDispose]();
  expect((await open()).resolve("n", "F").value).toBe("G");
});

test("a half-written journal line is dropped, a damaged one passed over and told", async () => {
  const dict = await open();
  await propose(dict, "A", "B");
  await dict[Symbol.asyncDispose]();
  await rm(at("snapshot.json"));
  const cycle = { ts: "x", op: "propose", namespace: "n", token: "B", value: "A", result: "accepted" };
  await appendFile(at("journal.jsonl"), `not json\n{"op":"propose"}\n${JSON.stringify(cycle)}\n\n{"ts":"x","op":"prop`);
  const again = await open();
  expect(again.list()).toEqual([{ namespace: "n", token: "A", value: "B" }]);
  expect(diagnostics.reports.at(-1)).toMatchObject({ status: "degraded", message: "4 lines of journal.jsonl cannot be used" });
  expect(await propose(again, "B", "C")).toBe("accepted");
  expect((await readFile(at("journal.jsonl"), "utf8")).endsWith('"B","value":"C","result":"accepted"}\n')).toBe(true);
});

test("words that a line reader would split at come through the journal whole", async () => {
  const dict = await open();
  expect(await propose(dict, "a\u2028b\u2029c", '"quoted"\\')).toBe("accepted");
  await dict[Symbol.asyncDispose]();
  await rm(at("snapshot.json"));
  expect((await open()).list()).toEqual([{ namespace: "n", token: "a\u2028b\u2029c", value: '"quoted"\\' }]);
});

test("a journal longer than any one read is read to its end", async () => {
  const dict = await open();
  for (let n = 0; n < 400; n += 1) await propose(dict, `${n}-${"é".repeat(200)}`, "x");
  await dict[Symbol.asyncDispose]();
  await rm(at("snapshot.json"));
  expect((await open()).list()).toHaveLength(400);
});

test("files that cannot be opened are told; nothing is taken, reading goes on", async () => {
  await mkdir(folder, { recursive: true });
  await symlink("/dev/null", at("journal.jsonl"));
  const dict = await open();
  expect(status()).toBe("failed");
  await expect(propose(dict, "A", "B")).rejects.toMatchObject({ code: "dict.unavailable", remedy: "rumi doctor" });
  await expect(dict.remove({ namespace: "n", token: "A" }, "test")).rejects.toMatchObject({ code: "dict.unavailable" });
  expect(dict.resolve("n", "A")).toEqual({ value: "A", hops: 0 });
  await rm(at("journal.jsonl"));
  await dict.load();
  expect(await propose(dict, "A", "B")).toBe("accepted");
  expect(status()).toBe("ok");
});

test("a snapshot that cannot be written costs nothing: the journal has the rule", async () => {
  const dict = await open();
  await rename(at("snapshot.json"), at("away"));
  await mkdir(join(at("snapshot.json"), "full"), { recursive: true });
  expect(await propose(dict, "A", "B")).toBe("accepted");
  expect(status()).toBe("degraded");
  await dict[Symbol.asyncDispose]();
  expect((await open()).resolve("n", "A").value).toBe("B");
});

test("many at once are judged one after another", async () => {
  const dict = await open();
  const answers = await Promise.all([propose(dict, "A", "B"), propose(dict, "B", "A"), propose(dict, "A", "C"), propose(dict, "B", "C")]);
  expect(answers).toEqual(["accepted", "cycle_detected", "conflict", "accepted"]);
});

test("the journal alone always gives the same rules as the life that wrote it", async () => {
  const word = fc.constantFrom(...Array.from("abcdef"));
  const op = fc.record({ remove: fc.boolean(), token: word, value: word });
  await fc.assert(
    fc.asyncProperty(fc.array(op, { maxLength: 25 }), async (ops) => {
      await rm(folder, { recursive: true, force: true });
      const dict = await open();
      for (const { remove, token, value } of ops) {
        if (remove) await dict.remove({ namespace: "n", token }, "test");
        else await propose(dict, token, value);
      }
      await dict[Symbol.asyncDispose]();
      const rules = dict.list();
      const whole = await open();
      expect(whole.list()).toEqual(rules);
      await whole[Symbol.asyncDispose]();
      await rm(at("snapshot.json"));
      const rebuilt = await open();
      expect(rebuilt.list()).toEqual(rules);
      await rebuilt[Symbol.asyncDispose]();
    }),
    { numRuns: 15 },
  );
});

test("a writer killed with SIGKILL at any instant leaves every rule it was answered for, and at most the one in flight", async () => {
  const script = at("writer.mjs");
  await mkdir(folder, { recursive: true });
  await writeFile(
    script,
    `
    import { SharedDictionary } from ${JSON.stringify(new URL("shared-dictionary.ts", import.meta.url).href)};
    import { systemClock } from ${JSON.stringify(import.meta.resolve("@rumi/core"))};
    const nothing = { log() {}, report() {}, record: async () => {} };
    const dict = new SharedDictionary({ audit: nothing, diagnostics: nothing, logger: nothing, clock: systemClock }, { folder: process.argv[2] });
    await dict.load();
    for (let n = dict.list().length; ; n++) {
      await dict.propose({ namespace: "n", token: "t" + n, value: "v" }, "test");
      await new Promise((sent) => process.send(n, sent));
    }`,
  );
  let answered = -1;
  for (let round = 0; round < 6; round += 1) {
    const writer = fork(script, [folder], { execArgv: ["--conditions=rumi-source"], stdio: ["ignore", "ignore", "inherit", "ipc"] });
    writer.on("message", (n: number) => (answered = n));
    await once(writer, "message");
    await setTimeout(3 + 11 * round);
    // What was sent is read before the channel is told to be closed.
    const left = Promise.all([once(writer, "exit"), once(writer, "disconnect")]);
    writer.kill("SIGKILL");
    await left;
    const dict = await open();
    expect(status()).toBe("ok");
    const count = dict.list().length;
    expect(count - (answered + 1)).toBeGreaterThanOrEqual(0);
    expect(count - (answered + 1)).toBeLessThanOrEqual(1);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    await dict[Symbol.asyncDispose]();
  }
  expect(answered).toBeGreaterThan(5);
});

test("who listens hears of every rule that comes or goes, and of nothing else", async () => {
  const dict = await open();
  let changes = 0;
  const stop = dict.onChange(() => (changes += 1));
  await propose(dict, "A", "B");
  await propose(dict, "A", "B");
  await propose(dict, "B", "A");
  await dict.remove({ namespace: "n", token: "C" }, "test");
  expect(changes).toBe(1);
  await dict.remove({ namespace: "n", token: "A" }, "test");
  expect(changes).toBe(2);
  stop();
  await propose(dict, "A", "C");
  expect(changes).toBe(2);
});

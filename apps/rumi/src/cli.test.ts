import { createHash } from "node:crypto";
import { ROUTES } from "@rumi/api/client";
import { CODES, fillRemedy } from "@rumi/api";
import { FakeHouse } from "@rumi/api/testing";
import { expect, test } from "vitest";
import { FakeWorld } from "./testing/fake-world.ts";

const sha256 = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

async function house(): Promise<{ readonly house: FakeHouse; readonly world: FakeWorld }> {
  const made = new FakeHouse();
  made.addPack("my_pack");
  return { house: made, world: new FakeWorld(made, await made.token("admin")) };
}

/** One command line of every verb. */
const EVERY_VERB: readonly (readonly string[])[] = [
  [],
  ["status"],
  ["status", "--openapi"],
  ["doctor"],
  ["check"],
  ["init"],
  ["start"],
  ["pack", "list"],
  ["pack", "list", "--pending"],
  ["pack", "status", "my_pack"],
  ["pack", "review", "my_pack"],
  ["pack", "scan"],
  ["pack", "validate"],
  ["pack", "approve", "my_pack", "--yes", "--digest", sha256("v1")],
  ["pack", "reject", "my_pack"],
  ["pack", "enable", "my_pack"],
  ["pack", "disable", "my_pack"],
  ["flow", "list"],
  ["flow", "show", "hello"],
  ["flow", "show", "hello", "--effective"],
  ["flow", "run", "hello", "-i", "a=1"],
  ["run", "list"],
  ["run", "show", "run_0190a0a0-0000-7000-8000-000000000000"],
  ["run", "cancel", "run_0190a0a0-0000-7000-8000-000000000000"],
  ["run", "watch", "run_0190a0a0-0000-7000-8000-000000000000"],
  ["run", "logs", "run_0190a0a0-0000-7000-8000-000000000000"],
  ["run", "logs", "run_0190a0a0-0000-7000-8000-000000000000", "--follow"],
  ["flow", "plan", "hello", "-i", "a=1"],
  ["flow", "diff", "hello", "my_pack"],
  ["flow", "graph", "hello"],
  ["flow", "reload"],
  ["flow", "put", "/none.flow.yaml"],
  ["flow", "remove", "none"],
  ["modifier", "list", "--pack", "my_pack"],
  ["modifier", "check", "my_pack"],
  ["modifier", "put", "/none.modifier.yaml", "--dry-run"],
  ["modifier", "remove", "none"],
  ["schedule", "list"],
  ["schedule", "enable", "hello"],
  ["schedule", "disable", "hello"],
  ["schedule", "trigger", "hello"],
  ["pack", "approve", "my_pack", "--yes", "--digest", sha256("v1"), "--grant"],
  ["grant", "list"],
  ["grant", "list", "my_pack"],
  ["grant", "add", "my_pack", "store.get", "-c", "allowed_store_ids=notes"],
  ["grant", "add", "--from", "/grants.json"],
  ["grant", "revoke", "my_pack", "store.get"],
  ["grant", "revoke", "my_pack", "*"],
  ["grant", "reset", "my_pack"],
  ["network", "list"],
  ["network", "grant", "my_pack", "api.example.com", "--port", "443"],
  ["network", "check", "my_pack", "api.example.com", "443"],
  ["network", "report", "my_pack"],
  ["network", "report", "my_pack", "--seconds", "60"],
  ["network", "revoke", "my_pack"],
  ["secret", "set", "API_KEY"],
  ["secret", "list"],
  ["secret", "grant"],
  ["secret", "grant", "my_pack"],
  ["secret", "grant", "my_pack", "--use", "API_KEY@api.example.com"],
  ["secret", "grant", "my_pack", "--get", "API_KEY"],
  ["secret", "grant", "my_pack", "--revoke", "API_KEY"],
  ["secret", "grant", "my_pack", "--revoke"],
  ["secret", "rotate-key"],
  ["secret", "delete", "API_KEY"],
  ["store", "list"],
  ["store", "list", "--shared"],
  ["store", "create", "notes"],
  ["store", "get", "notes", "a"],
  ["store", "keys", "notes"],
  ["store", "share", "notes", "other"],
  ["store", "unshare", "notes", "other"],
  ["store", "import", "notes", "/srv/notes"],
  ["store", "delete", "notes"],
  ["privilege", "list"],
  ["privilege", "grant", "my_pack", "host.execute", "handler_a"],
  ["privilege", "revoke", "my_pack", "host.execute"],
  ["container", "list"],
  ["container", "start", "my_pack"],
  ["container", "stop", "my_pack"],
  ["container", "remove", "my_pack"],
  ["container", "pin"],
  ["token", "show"],
  ["token", "list"],
  ["token", "create", "ci", "--scope", "read"],
  ["token", "rotate", "tok_0000000000000000"],
  ["token", "revoke", "tok_0000000000000000"],
  ["audit", "tail"],
  ["audit", "tail", "--summary"],
  ["audit", "verify"],
  ["diagnostics"],
  ["completion", "bash"],
];

test("H52 with --json every verb puts one envelope on stdout, also when the daemon is gone or the words are wrong", async () => {
  const { world } = await house();
  const gone = new FakeWorld(null, null);
  for (const words of [...EVERY_VERB, ["nonsense"], ["pack", "review"], ["--help"], ["pack", "list", "--what"]]) {
    for (const where of [world, gone]) {
      const { stdout } = await where.run(...words, "--json");
      expect([words.join(" "), stdout.split("\n").length]).toEqual([words.join(" "), 2]);
      expect([words.join(" "), Object.keys(JSON.parse(stdout) as object).sort()]).toEqual([
        words.join(" "),
        ["code", "data", "error", "success"],
      ]);
    }
  }
});

test("H53 each class of failure has its exit code", async () => {
  const { house: made, world } = await house();
  expect((await world.run("pack", "list")).exitCode).toBe(0);
  expect((await world.run("pack", "nonsense")).exitCode).toBe(2);
  expect((await world.run("pack", "status")).exitCode).toBe(2);
  expect((await world.run("pack", "status", "none")).exitCode).toBe(6);
  expect((await world.run("pack", "approve", "my_pack", "--yes", "--digest", sha256("other"))).exitCode).toBe(5);
  expect((await new FakeWorld(made, "rumi_wrong").run("pack", "list")).exitCode).toBe(3);
  expect((await new FakeWorld(made, await made.token("read")).run("pack", "scan")).exitCode).toBe(3);
  expect((await new FakeWorld(null, "x").run("pack", "list")).exitCode).toBe(4);
  made.outcomes.set("hello", { state: "failed", code: "sandbox.block_error", reason: "no" });
  expect((await world.run("flow", "run", "hello")).exitCode).toBe(1);
  made.outcomes.set("hello", { state: "timed_out", code: "flow.timeout", reason: "slow" });
  expect((await world.run("flow", "run", "hello")).exitCode).toBe(124);
  made.held.add("slow");
  const run = world.run("flow", "run", "slow");
  await expect.poll(() => made.calls.filter((call) => call === "runs.run").length).toBe(3);
  world.interrupt();
  expect((await run).exitCode).toBe(130);
  made.finish();
  made.phase = "stopping";
  expect((await new FakeWorld(made, await made.token("admin")).run("pack", "list")).exitCode).toBe(4);
});

test("H54 approve --yes without --digest is a usage error and asks nothing of the daemon", async () => {
  const { house: made, world } = await house();
  const { exitCode, stderr } = await world.run("pack", "approve", "my_pack", "--yes");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("--yes needs --digest");
  expect((await world.run("pack", "approve", "my_pack")).exitCode).toBe(2);
  expect(made.calls).toEqual([]);
  expect(made.packs.get("my_pack")?.status).toBe("installed");
});

test("H55 control, ANSI and bidi characters of a pack are printed escaped, 200 to a line", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  const evil = "\u001b[2Jx\u202etxt.py\u0007\u009b1m\u2028\u200b";
  made.reviewExtras = {
    version: evil,
    files: {
      added: [{ path: evil }, { path: "y".repeat(500), diff: `+${evil}\r\n+${"z".repeat(500)}` }],
      removed: [],
      changed: [{ path: evil, diff: evil }],
    },
    permissions: { added: [evil, { type: "network", reason: evil }], removed: [], changed: [] },
    host_execution: true,
    warnings: [{ message: evil }, evil],
  };
  made.deps.packs.list = () => [{ pack_id: "p", status: "installed", enabled: true, version: evil, pack_identity: evil, digest: null }];
  world.keys.push("d", "q");
  const shown = [
    await world.run("pack", "review", "my_pack"),
    await world.run("pack", "review", "my_pack", "--json"),
    await world.run("pack", "list"),
    await world.run("flow", "run", "hello", "-i", `a=${evil}`),
  ];
  for (const { stdout, stderr } of shown) {
    const text = (stdout + stderr).replaceAll(/\u001b\[(?:0|1|31)m/gu, "");
    expect(text).toMatch(/\\u(?:\{1b\}|001b)\[2J/u);
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    if (!text.startsWith('{"success"')) for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(240);
  }
});

test("H59 lang/en.txt and lang/ja.txt have equal keys and equal holes, and a sentence for every code", async () => {
  const { readFile } = await import("node:fs/promises");
  const { parseMessages } = await import("@rumi/api");
  const read = async (language: string) => parseMessages(await readFile(new URL(`../../../lang/${language}.txt`, import.meta.url), "utf8"));
  const [en, ja] = [await read("en"), await read("ja")];
  expect([...ja.keys()].sort()).toEqual([...en.keys()].sort());
  const holes = (text: string | undefined): string[] => [...(text ?? "").matchAll(/\{\w+\}/gu)].map((match) => match[0]).sort();
  for (const [key, text] of en) expect([key, holes(ja.get(key))]).toEqual([key, holes(text)]);
  expect(Object.keys(CODES).filter((code) => !en.has(`error.${code}`))).toEqual([]);
  expect([en.get("error.sandbox.docker_required"), en.get("error.pack_importer.identity_mismatch"), en.get("doctor.legacy_dirs")]).toEqual([
    "Docker is required but not available",
    "pack_identity mismatch",
    "Using legacy flow path. This is DEPRECATED and will be removed.",
  ]);
});

test("every text the command line asks for is in lang/en.txt", async () => {
  const { readdir, readFile } = await import("node:fs/promises");
  const { parseMessages } = await import("@rumi/api");
  const en = parseMessages(await readFile(new URL("../../../lang/en.txt", import.meta.url), "utf8"));
  const here = new URL(".", import.meta.url);
  for (const file of (await readdir(here, { recursive: true })).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))) {
    const source = await readFile(new URL(file, here), "utf8");
    for (const [, key = ""] of source.matchAll(/\bsay\(\s*"([^"]+)"/gu)) expect([file, key, en.has(key)]).toEqual([file, key, true]);
  }
});

test("H71 every remedy of the table, and of the daemon's answers, parses as a verb", async () => {
  const world = new FakeWorld(null, null);
  const details = { pack_id: "my_pack", ancestor: "my_pack", flow_id: "hello", run_id: "run_1", scope: "read" };
  for (const [code, entry] of Object.entries(CODES)) {
    if (entry.remedy === null) continue;
    for (const command of [fillRemedy(entry.remedy, details), fillRemedy(entry.remedy, {})]) {
      const [program, ...words] = command.split(" ");
      expect([code, command, program, await world.parses(...words)]).toEqual([code, command, "rumi", 0]);
    }
  }
  expect(await world.parses("pack", "nonsense")).toBe(2);
});

test("H71 every route of the table names a verb that parses", async () => {
  const world = new FakeWorld(null, null);
  for (const row of ROUTES) {
    const words = row.verb.split(" ");
    // A verb takes none to three words of its own.
    const tries = [[], ["A"], ["A", "B"], ["A", "B", "C"], ["NAME", "--scope", "read"]];
    const ends = await Promise.all(tries.map((extra) => world.parses(...words, ...extra)));
    expect([row.name, row.verb, Math.min(...ends)]).toEqual([row.name, row.verb, 0]);
  }
});

test("H73 ls, rm and plural nouns are the same verbs, and completion knows every noun and id", async () => {
  const { house: made, world } = await house();
  for (const noun of ["pack", "flow", "run", "container", "grant", "network", "secret", "store", "privilege", "modifier", "schedule"]) {
    const plain = await world.run(noun, "list");
    expect(await world.run(`${noun}s`, "ls")).toEqual(plain);
  }
  expect((await world.run("tokens", "ls")).stdout).toContain("admin");
  expect((await world.run("container", "rm", "my_pack")).exitCode).toBe(0);
  expect((await world.run("secret", "rm", "NONE")).stderr).toContain("secrets.not_found");
  expect((await world.run("stores", "rm", "none")).stderr).toContain("store.not_found");
  for (const shell of ["bash", "zsh", "fish"]) {
    const { exitCode, stdout } = await world.run("completion", shell);
    expect(exitCode).toBe(0);
    for (const word of [
      "pack",
      "packs",
      "flow",
      "run",
      "container",
      "token",
      "audit",
      "status",
      "doctor",
      "review",
      "approve",
      "pin",
      "rotate",
      "verify",
      "grants",
      "revoke",
      "network",
      "report",
      "secrets",
      "rotate-key",
      "stores",
      "unshare",
      "privilege",
    ])
      expect(stdout).toContain(word);
  }
  expect((await world.run("completion", "ids", "packs")).stdout).toBe("my_pack\n");
  for (const noun of ["grant", "networks", "privilege"]) expect((await world.run("completion", "ids", noun)).stdout).toBe("my_pack\n");
  expect((await world.run("completion", "ids", "flow")).stdout).toBe("hello\n");
  made.rights.values.set("API_KEY", "12345678");
  made.rights.addStore("notes");
  expect((await world.run("completion", "ids", "secret")).stdout).toBe("API_KEY\n");
  expect((await world.run("completion", "ids", "stores")).stdout).toBe("notes\n");
  expect((await new FakeWorld(null, null).run("completion", "ids", "pack")).stdout).toBe("");
  expect((await world.run("completion", "powershell")).exitCode).toBe(2);
});

test("every refusal prints its error, code and remedy on stderr, and nothing on stdout", async () => {
  const { world } = await house();
  const { stdout, stderr } = await world.run("pack", "status", "none");
  expect(stdout).toBe("");
  expect(stderr).toBe("there is no such pack\n  code: approval.pack_not_found\n  to mend it: rumi pack list\n");
});

test("on a terminal review approves exactly the digest shown, though the bytes moved meanwhile", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  world.keys.push("x", "a");
  const moved = made.packs.get("my_pack");
  const { packs } = made.deps;
  const approve = packs.approve.bind(packs);
  packs.approve = (id, options) => {
    if (moved !== undefined) moved.content = "v2";
    return approve(id, options);
  };
  expect((await world.run("pack", "review", "my_pack")).exitCode).toBe(5);
  expect(moved?.status).toBe("installed");
  packs.approve = approve;
  world.keys.push("a");
  expect((await world.run("pack", "review", "my_pack")).exitCode).toBe(0);
  expect(moved?.approved).toBe("v2");
  world.keys.push("r");
  expect((await world.run("pack", "review", "my_pack")).exitCode).toBe(0);
  expect(moved?.status).toBe("blocked");
});

test("review shows changes first, and widened rights, private network and host execution in red", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  made.reviewExtras = {
    domains: { added: [{ key: "127.0.0.1", value: { ports: [11434] } }], removed: [], changed: [] },
    permissions: { added: [], removed: [{ key: "gone", value: null }], changed: [{ key: "store", from: ["a"], to: ["a", "b"] }] },
    modifiers: { added: [{ key: "m", value: { modifier_id: "m", wide: true } }], removed: [], changed: [] },
    host_execution: ["h"],
  };
  const { stdout } = await world.run("pack", "review", "my_pack");
  expect(stdout.indexOf("blocks/hello.py")).toBeLessThan(stdout.indexOf("Outside hosts"));
  expect(stdout).toContain('\u001b[31m  + 127.0.0.1  {"ports":[11434]}\u001b[0m');
  expect(stdout).toContain('\u001b[31m  ~ store  ["a"] -> ["a","b"]\u001b[0m');
  expect(stdout).toContain("\n  - gone\n");
  expect(stdout).toContain("\u001b[31m  ! wants to run code on the host itself\u001b[0m");
  expect(stdout).toContain("\u001b[31m  ! changes flows that are not its own:");
  world.interactive = false;
  const plain = await world.run("pack", "review", "my_pack");
  expect(plain.stdout).not.toContain("\u001b");
  expect(plain.stdout).toContain(`rumi pack approve my_pack --yes --digest ${sha256("v1")}`);
});

test("the daemon and token are found by flag, variable, then file; the local token is not sent to another machine", async () => {
  const { house: made, world } = await house();
  world.files.set(
    "/home/op/user_data/settings/daemon.json",
    '{"pid":1,"url":"http://127.0.0.1:9999","version":"0.1.0","started_at":"2026-01-01T00:00:00.000Z"}',
  );
  expect((await world.run("status")).stdout).toContain("http://127.0.0.1:9999");
  expect((await world.run("status", "--url", "http://localhost:7777")).stdout).toContain("http://localhost:7777");
  world.env["RUMI_URL"] = "http://rumi.example:1";
  const foreign = new FakeHouse({ allowedHosts: ["rumi.example"] });
  const elsewhere = new FakeWorld(foreign, await foreign.token("admin"));
  expect((await elsewhere.run("status", "--url", "http://rumi.example:1")).exitCode).toBe(3);
  elsewhere.files.set("/secret/token", await foreign.token("read"));
  expect((await elsewhere.run("status", "--url", "http://rumi.example:1", "--token-file", "/secret/token")).exitCode).toBe(0);
  elsewhere.env["RUMI_TOKEN"] = await foreign.token("read");
  expect((await elsewhere.run("status", "--url", "http://rumi.example:1")).exitCode).toBe(0);
  const homeless = new FakeWorld(made, null);
  homeless.env["RUMI_HOME"] = "/srv/rumi";
  homeless.files.set("/srv/rumi/user_data/settings/api_token", await made.token("admin"));
  expect((await homeless.run("pack", "list")).exitCode).toBe(0);
});

test("texts follow --lang, RUMI_LANG, locale.txt, LC_ALL and LANG, in that order", async () => {
  const { world } = await house();
  world.env["LANG"] = "ja_JP.UTF-8";
  expect((await world.run("status")).stdout).toContain("モード");
  world.env["LC_ALL"] = "en_US.UTF-8";
  expect((await world.run("status")).stdout).toContain("mode");
  world.files.set("/home/op/user_data/settings/locale.txt", "ja\n");
  expect((await world.run("status")).stdout).toContain("モード");
  world.env["RUMI_LANG"] = "en";
  expect((await world.run("status")).stdout).toContain("mode");
  expect((await world.run("status", "--lang", "ja")).stdout).toContain("モード");
});

test("flow run takes JSON and text inputs, prints the result on stdout and the rest on stderr", async () => {
  const { world } = await house();
  world.files.set("/in.json", '{"a":1,"b":2}');
  const { stdout, stderr } = await world.run("flow", "run", "hello", "-f", "/in.json", "-i", "b=true", "-i", "c=Tokyo", "-i", 'd=["x"]');
  expect(JSON.parse(stdout)).toEqual({ a: 1, b: true, c: "Tokyo", d: ["x"] });
  expect(stderr).toMatch(/^completed {2}run_/u);
  expect((await world.run("flow", "run", "hello", "-i", "novalue")).exitCode).toBe(2);
  expect((await world.run("flow", "run", "hello", "-f", "/none.json")).exitCode).toBe(2);
});

test("an input that the flow declares as text stays text, though it could be a number", async () => {
  const { house: made, world } = await house();
  const get = made.deps.flows.get.bind(made.deps.flows);
  made.deps.flows.get = async (id) => {
    const flow = await get(id);
    return flow === null ? null : { ...flow, inputs: { zip: { type: "string" }, n: { type: "integer" } } };
  };
  const { stdout } = await world.run("flow", "run", "hello", "-i", "zip=12345", "-i", "n=5", "-i", "other=6");
  expect(JSON.parse(stdout)).toEqual({ zip: "12345", n: 5, other: 6 });
});

test("offline verbs call rumid and keep its exit code", async () => {
  const { world } = await house();
  world.daemonEnd = {
    exitCode: 1,
    stdout: JSON.stringify({
      success: false,
      data: { checks: [{ id: "engine", status: "fail", message: "no engine", remedy: "start Docker", auto: false }] },
      error: "1 check failed",
      code: "doctor.failed",
    }),
  };
  const { exitCode, stdout } = await world.run("doctor");
  expect(exitCode).toBe(1);
  expect(stdout).toContain("no engine");
  expect(stdout).toContain("start Docker");
  await world.run("start", "--permissive");
  expect(world.daemonRuns).toEqual([
    ["doctor", "--json"],
    ["start", "--permissive"],
  ]);
  world.daemonEnd = { exitCode: 0, stdout: "not json" };
  expect((await world.run("check")).exitCode).toBe(1);
});

test("pack validate lists each problem with its place, and fails on errors only", async () => {
  const { house: made, world } = await house();
  expect((await world.run("pack", "validate")).stdout).toBe("1 of 1 packs are valid.\n");
  const status = made.deps.packs.status.bind(made.deps.packs);
  const problems = [
    { code: "pack_manifest.id_mismatch", severity: "error", file: "ecosystem.json", message: "another id" },
    { code: "pack_manifest.unknown_key", severity: "warning", file: "ecosystem.json", message: "what is this" },
  ] as const;
  made.deps.packs.status = async (id) => ({ ...(await status(id)), problems });
  const { exitCode, stdout } = await world.run("pack", "validate", "my_pack");
  expect(exitCode).toBe(1);
  expect(stdout).toContain("error  my_pack/ecosystem.json  pack_manifest.id_mismatch  another id");
  const json = JSON.parse((await world.run("pack", "validate", "--json")).stdout) as {
    data: { errors: unknown[]; warnings: unknown[]; valid_count: number };
  };
  expect([json.data.errors.length, json.data.warnings.length, json.data.valid_count]).toEqual([1, 1, 0]);
  expect((await world.run("pack", "validate", "none")).exitCode).toBe(6);
});

test("token show prints the local token alone", async () => {
  const world = new FakeWorld(null, `rumi_${"a".repeat(43)}`);
  expect((await world.run("token", "show")).stdout).toBe(`rumi_${"a".repeat(43)}\n`);
  expect((await new FakeWorld(null, null).run("token", "show")).exitCode).toBe(6);
});

test("a command line that cannot be read is one error, one code and one remedy that works, with --json too", async () => {
  const { world } = await house();
  for (const [args, text, remedy] of [
    [["bogus"], "unknown command 'bogus'", "rumi --help"],
    [["keys", "reset"], "unknown command 'keys'", "rumi --help"],
    [["pack", "bogus"], "unknown command 'bogus'", "rumi pack --help"],
    [["flow", "run"], "missing required argument 'id'", "rumi flow run --help"],
    [["pack", "ls", "--bogus"], "unknown option '--bogus'", "rumi pack list --help"],
  ] as const) {
    expect(await world.run(...args)).toEqual({ exitCode: 2, stdout: "", stderr: `${text}\n  code: cli.usage\n  to mend it: ${remedy}\n` });
    const envelope: unknown = JSON.parse((await world.run(...args, "--json")).stdout);
    expect(envelope).toMatchObject({ success: false, error: text, code: "cli.usage", data: { remedy } });
    expect(await world.parses(...remedy.split(" ").slice(1))).toBe(0);
  }
  const envelope: unknown = JSON.parse((await world.run("pack", "--json")).stdout);
  expect(envelope).toMatchObject({ error: "a verb is missing" });
});

test("a refused field is named to the person", async () => {
  const { world } = await house();
  const refused = await world.run("pack", "approve", "my_pack", "--yes", "--digest", "xx");
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toMatch(/^the body is not valid\n {2}expected_digest: .+\n {2}code: request\.invalid\n$/u);
});

test("an id of dots is refused as an id, not answered by another route", async () => {
  const { world } = await house();
  for (const id of [".", ".."]) expect((await world.run("pack", "status", id)).stderr).toContain("code: request.invalid_id");
});

test("an address or token file that cannot be used is named, not blamed on the daemon", async () => {
  const { world } = await house();
  expect(await world.run("--url", "nonsense", "pack", "list")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("nonsense") });
  expect(await world.run("--token-file", "/nope", "pack", "list")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("/nope") });
});

test("the review of a pack that cannot be approved leads to its problems", async () => {
  const { house: made, world } = await house();
  made.addPack("broken", "v1", "error");
  expect((await world.run("pack", "review", "broken")).stdout).toContain("Next: rumi pack validate broken\n");
});

test("a failing daemon program's own remedy is printed", async () => {
  const { world } = await house();
  world.daemonEnd = { exitCode: 1, stdout: '{"success":false,"data":{"remedy":"npm run rumi -- start"},"error":"no","code":"x.y"}\n' };
  expect((await world.run("doctor")).stderr).toContain("to mend it: npm run rumi -- start\n");
  world.daemonEnd = {
    exitCode: 1,
    stdout: '{"success":false,"data":{"remedy":"rumi keys reset"},"error":"no","code":"safe_files.key_file_unsafe"}\n',
  };
  expect((await world.run("init")).stderr).toContain("to mend it: rumi doctor\n");
});

test("init tells a person in words what it did and what to type next; with --json the envelope", async () => {
  const { world } = await house();
  const init = (key: string) => `${JSON.stringify({ success: true, data: { home: "/h", key }, error: null, code: null })}\n`;
  world.daemonEnd = { exitCode: 0, stdout: init("created") };
  expect((await world.run("init")).stdout).toBe("/h is laid out, with a new signing key.\nNext: rumi start\n");
  expect(JSON.parse((await world.run("init", "--json")).stdout)).toMatchObject({ success: true, data: { key: "created" } });
  world.daemonEnd = { exitCode: 0, stdout: init("kept") };
  expect((await world.run("init")).stdout).toContain("its signing key was there already");
});

test("status counts packs that cannot be approved apart from those that wait", async () => {
  const { house: made, world } = await house();
  const status = await made.deps.daemon.status();
  made.deps.daemon.status = () => ({ ...status, counts: { packs: { installed: 1, error: 2 } } });
  const { stdout } = await world.run("status");
  expect(stdout).toContain("packs that cannot be approved  2: rumi pack validate\n");
});

test("however many files are new, changed code and new code are on the review's screen", async () => {
  const { house: made, world } = await house();
  const added = Array.from({ length: 40 }, (_, index) => ({ path: `backend/a${index}.txt`, size: 1, executable: false }));
  made.reviewExtras = {
    files: {
      added: [{ path: "backend/" }, ...added, { path: "backend/blocks/zz.py", size: 9, executable: false }],
      removed: [],
      changed: [{ path: "backend/blocks/hello.py", diff: "+import os\n" }],
    },
  };
  const { stdout } = await world.run("pack", "review", "my_pack");
  const lines = stdout.split("\n");
  const at = (text: string): number => lines.findIndex((line) => line.includes(text));
  expect(at("~ backend/blocks/hello.py")).toBeGreaterThan(0);
  expect(at("+ backend/blocks/zz.py")).toBe(at("~ backend/blocks/hello.py") + 1);
  expect(at("+ and 30 more")).toBeGreaterThan(0);
  world.interactive = true;
  world.keys.push("d", "q");
  expect((await world.run("pack", "review", "my_pack")).stdout).toContain(
    "+ backend/blocks/zz.py\u001b[0m\n  new: read it in the pack's folder\n",
  );
});

test("doctor names no verb that does not exist: a lost key is mended by the operator's own copy", async () => {
  const { world } = await house();
  const checks = [
    { id: "keys", status: "fail", message: "the key is missing", remedy: "rumi keys reset" },
    { id: "state_files", status: "fail", message: "a file is missing", remedy: "rumi restore" },
  ];
  world.daemonEnd = { exitCode: 1, stdout: JSON.stringify({ success: true, data: { checks }, error: null, code: null }) };
  const { stdout } = await world.run("doctor");
  expect(stdout).toContain("to mend it: put your own copy of user_data/permissions/.secret_key back");
  expect(stdout).not.toMatch(/rumi (?:keys|restore)/u);
});

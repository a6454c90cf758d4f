import { createHash } from "node:crypto";
import { FakeHouse } from "@rumi/api/testing";
import { expect, test } from "vitest";
import { FakeWorld } from "./testing/fake-world.ts";

const RED = "\u001b[31m";
const VALUE = "sk-live-9f83hd7Q2k";

async function house(): Promise<{ readonly house: FakeHouse; readonly world: FakeWorld }> {
  const made = new FakeHouse();
  made.addPack("my_pack", "v1", "approved");
  return { house: made, world: new FakeWorld(made, await made.token("admin")) };
}

/** Lines of an output that are printed red. */
function redLines(stdout: string): string[] {
  return stdout.split("\n").filter((line) => line.startsWith(RED));
}

test("grant add builds lists and limits from key=value, shows the right on one line, and says what the old one gave", async () => {
  const { house: made, world } = await house();
  made.rights.declared.set("my_pack", [{ permission_id: "store.get", config: {}, left_out: [] }]);
  const limits = ["-c", "allowed_store_ids=notes", "-c", "allowed_store_ids=12", "-c", "max_uses=5", "-c", "note=a=b"];
  const first = await world.run("grant", "add", "my_pack", "store.get", ...limits, "--expires", "2099-01-01T00:00:00.000Z");
  expect(first.exitCode).toBe(0);
  expect(made.rights.held.get("my_pack")?.get("store.get")).toMatchObject({
    config: { allowed_store_ids: ["notes", "12"], max_uses: 5, note: "a=b" },
    expires_at: "2099-01-01T00:00:00.000Z",
  });
  expect(first.stdout.split("\n")[1]).toBe(
    "my_pack    store.get   -     2099-01-01T00:00:00.000Z  -          allowed_store_ids=notes,12 max_uses=5 note=a=b",
  );
  const second = await world.run("grant", "add", "my_pack", "store.get", "-c", 'allowed_store_ids=["notes"]');
  expect(second.stdout).toContain("no longer given: 12");
  world.files.set("/c.json", '{"allowed_ports":[1],"deep":{"a":1}}');
  await world.run("grant", "add", "my_pack", "x.y", "--config-file", "/c.json", "-c", "allowed_ports=443", "-c", "allowed_ports=*");
  expect(made.rights.held.get("my_pack")?.get("x.y")?.config).toEqual({ allowed_ports: [443, "*"], deep: { a: 1 } });
  await world.run("grant", "add", "my_pack", "x.y", "-c", '{"allowed_flow_ids":["a.b"],"max_uses":2}', "-c", "note={}");
  expect(made.rights.held.get("my_pack")?.get("x.y")?.config).toEqual({ allowed_flow_ids: ["a.b"], max_uses: 2, note: {} });
  expect((await world.run("grant", "add", "my_pack", "x.y", "-c", '{"half')).exitCode).toBe(2);
});

test("H31 what is undeclared, wide, private or expired is red in every list, and each right is one line", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  made.rights.declared.set("my_pack", [
    { permission_id: "store.get", config: {}, left_out: [] },
    { permission_id: "flow.run", config: {}, left_out: [] },
    { permission_id: "old.one", config: {}, left_out: [] },
    { permission_id: "network.egress", config: {}, left_out: [] },
  ]);
  await world.run("grant", "add", "my_pack", "store.get", "-c", "allowed_store_ids=notes");
  await world.run("grant", "add", "my_pack", "flow.run", "-c", "allowed_flow_ids=*");
  await world.run("grant", "add", "my_pack", "fs.read");
  await world.run("grant", "add", "my_pack", "old.one", "--expires", "2020-01-01T00:00:00.000Z");
  await world.run("network", "grant", "my_pack", "--private", "127.0.0.1:11434", "--port", "443");
  await world.run("network", "grant", "gone", "a.example", "--port", "443");
  const all = await world.run("grant", "list");
  const marks = redLines(all.stdout).map((line) => /^\S+\s+(\S+)\s+(\S+)/u.exec(line.slice(RED.length))?.slice(1));
  expect(marks).toEqual([
    ["network.egress", "undeclared"],
    ["flow.run", "*"],
    ["fs.read", "undeclared"],
    ["old.one", "expired"],
    ["network.egress", "private"],
  ]);
  expect(all.stdout.trimEnd().split("\n").length).toBe(7);
  const network = await world.run("network", "list");
  expect(redLines(network.stdout).map((line) => /(undeclared,asleep|private)/u.exec(line)?.[0])).toEqual(["private", "undeclared,asleep"]);
  expect(network.stdout).toContain("  gone: Pack is not approved  rumi pack review gone\n");
  world.interactive = false;
  expect((await world.run("grant", "list", "my_pack")).stdout).not.toContain("\u001b");
});

test("a batch from a file says of each grant how it went, and fails when one failed", async () => {
  const { world } = await house();
  world.files.set(
    "/grants.json",
    JSON.stringify({
      grants: [
        { principal_id: "my_pack", permission_id: "a.b" },
        { principal_id: "my_pack", permission_id: "c.d", config: { nonsense: 1 } },
      ],
    }),
  );
  const { exitCode, stdout } = await world.run("grant", "add", "--from", "/grants.json");
  expect(exitCode).toBe(1);
  expect(stdout).toContain("my_pack    c.d         capability.invalid_config  nonsense");
  expect(stdout).toContain("1 of 2 rights are given.");
  world.files.set("/bad.json", "[]");
  for (const words of [["--from", "/none.json"], ["--from", "/bad.json"], ["my_pack"], ["my_pack", "a.b", "-c", "novalue"]])
    expect([words, (await world.run("grant", "add", ...words)).exitCode]).toEqual([words, 2]);
});

test("a tampered record is red and names its reset", async () => {
  const { house: made, world } = await house();
  made.rights.tampered.add("my_pack");
  world.interactive = true;
  const { stdout } = await world.run("grant", "list");
  expect(redLines(stdout)[0]).toContain("my_pack was changed by something else");
  expect(stdout).toContain("rumi grant reset my_pack");
  const refused = await world.run("grant", "add", "my_pack", "a.b");
  expect([refused.exitCode, refused.stderr.includes("rumi grant reset my_pack")]).toEqual([5, true]);
  expect((await world.run("grant", "reset", "my_pack")).exitCode).toBe(0);
  expect((await world.run("grant", "reset", "my_pack")).exitCode).toBe(6);
});

test("network grant needs hosts and ports, replaces unless --add, and says what is no longer reached", async () => {
  const { house: made, world } = await house();
  const held = () => made.rights.held.get("my_pack")?.get("network.egress")?.config;
  for (const words of [
    ["a.example"],
    ["--port", "443"],
    ["a.example", "--port", "abc"],
    ["a.example", "--port", "0"],
    ["a.example", "--port", "65536"],
  ])
    expect([words, (await world.run("network", "grant", "my_pack", ...words)).exitCode]).toEqual([words, 2]);
  expect(made.calls).toEqual([]);
  await world.run("network", "grant", "my_pack", "a.example", "b.example", "--port", "443,80", "--method", "get", "--per-minute", "10");
  expect(held()).toEqual({
    allowed_domains: ["a.example", "b.example"],
    allowed_ports: [443, 80],
    allowed_methods: ["GET"],
    requests_per_minute: 10,
  });
  await world.run("network", "grant", "my_pack", "c.example", "--port", "443", "--add");
  expect(held()).toEqual({
    allowed_domains: ["a.example", "b.example", "c.example"],
    allowed_ports: [443, 80],
    allowed_methods: ["GET"],
    requests_per_minute: 10,
  });
  const replaced = await world.run("network", "grant", "my_pack", "c.example", "--port", "*");
  expect(replaced.stdout).toContain("no longer given: a.example, b.example, 443, 80, GET");
  expect(held()).toEqual({ allowed_domains: ["c.example"], allowed_ports: ["*"] });
});

test("network check says why not, and the one command that lets it through without taking anything", async () => {
  const { house: made, world } = await house();
  await world.run("network", "grant", "my_pack", "a.example", "--port", "443");
  expect((await world.run("network", "check", "my_pack", "a.example", "443")).exitCode).toBe(0);
  const denied = await world.run("network", "check", "my_pack", "b.example", "8443");
  expect(denied).toMatchObject({ exitCode: 1, stderr: "" });
  expect(denied.stdout).toBe(
    "my_pack -> b.example:8443  Domain not in allowed list\n  to mend it: rumi network grant my_pack b.example --port 8443 --add\n",
  );
  await world.run(..."network grant my_pack b.example --port 8443 --add".split(" "));
  expect((await world.run("network", "check", "my_pack", "b.example", "8443")).exitCode).toBe(0);
  made.deps.network.check = (pack_id, domain, port) => ({ allowed: false, reason: "Pack is not approved", pack_id, domain, port });
  expect((await world.run("network", "check", "my_pack", "b.example", "1")).stdout).toContain("rumi pack review my_pack");
  for (const port of ["abc", "0", "*", "70000", ""])
    expect([port, (await world.run("network", "check", "my_pack", "b.example", port)).exitCode]).toEqual([port, 2]);
});

test("network report shows what was asked and the command that grants exactly that, safe to paste", async () => {
  const { house: made, world } = await house();
  const { stdout } = await world.run("network", "report", "my_pack");
  expect(stdout).toContain("api.example.com  443   2      no");
  expect(stdout).toContain("Next: rumi network grant my_pack api.example.com --port 443\n");
  made.deps.network.report = () => ({
    observed: [],
    proposed: { allowed_domains: ["$(reboot).example", "*.x.example"], allowed_ports: ["*"] },
  });
  expect((await world.run("network", "report", "my_pack")).stdout).toContain(
    "rumi network grant my_pack '$(reboot).example' '*.x.example' --port '*'\n",
  );
  expect((await world.run("network", "report", "my_pack", "--seconds", "x")).exitCode).toBe(2);
  expect((await world.run("network", "report", "my_pack", "--seconds", "3601")).exitCode).toBe(1);
  expect((await world.run("network", "report", "my_pack", "--seconds", "60")).stdout).toContain("without a grant");
});

test("secret set reads its value from stdin or a hidden prompt; nothing repeats it, --json neither", async () => {
  const { house: made, world } = await house();
  world.secrets.push(VALUE, VALUE);
  for (const flags of [[], ["--json"]]) {
    const { exitCode, stdout, stderr } = await world.run("secret", "set", "API_KEY", ...flags);
    expect([exitCode, (stdout + stderr).includes(VALUE)]).toEqual([0, false]);
  }
  expect(made.rights.values.get("API_KEY")).toBe(VALUE);
  expect(world.prompts[0]).toBe("Value of API_KEY (not shown): ");
  const listed = await world.run("secret", "list");
  expect([listed.stdout.includes("API_KEY  ********"), listed.stdout.includes(VALUE)]).toEqual([true, false]);
  const none = await world.run("secret", "set", "API_KEY");
  expect([none.exitCode, none.stderr.includes("< FILE")]).toEqual([2, true]);
  world.secrets.push("abc");
  const short = await world.run("secret", "set", "API_KEY");
  expect([short.exitCode, short.stderr.includes("secrets.too_short")]).toEqual([1, true]);
});

test("a value on the command line is refused and not repeated, wherever it stands", async () => {
  const { house: made, world } = await house();
  for (const words of [
    ["secret", "set", "API_KEY", VALUE],
    ["secret", "set", VALUE],
    ["secrets", "set", "API_KEY", `--value=${VALUE}`],
    ["secret", "set", "API_KEY", "--value", VALUE],
    ["secret", VALUE],
    ["secret", "delete", VALUE],
    ["secret", "grant", "my_pack", "--revoke", VALUE],
    ["secret", "grant", "my_pack", "--use", VALUE],
    ["secret", "grant", "my_pack", "--get", VALUE],
  ]) {
    for (const flags of [[], ["--json"]]) {
      const { exitCode, stdout, stderr } = await world.run(...words, ...flags);
      expect([words, exitCode > 0, (stdout + stderr).includes(VALUE)]).toEqual([words, true, false]);
    }
  }
  expect([made.calls, world.prompts]).toEqual([[], []]);
});

test("secret grant shows what is held, gives use or get, takes a key or all; each says what it means", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  expect((await world.run("secret", "grant")).stdout).toBe("No pack may use a secret.\n");
  const use = await world.run(
    "secret",
    "grant",
    "my_pack",
    "--use",
    "A@a.example",
    "--use",
    "B@b.example",
    "--slot",
    "header",
    "--slot",
    "query",
  );
  expect(use.stdout).toContain("allowed_bindings=A@a.example,B@b.example allowed_slots=header,query");
  const get = await world.run("secret", "grant", "my_pack", "--get", "A");
  expect(redLines(get.stdout).at(-1)).toContain("The pack reads this value itself");
  expect((await world.run("secret", "grant", "my_pack")).stdout).toMatch(/secrets\.use.*\n.*secrets\.get/u);
  expect((await world.run("secret", "grant", "my_pack", "--revoke", "A")).stdout).toBe("2 rights of my_pack are gone.\n");
  expect((await world.run("secret", "grant", "my_pack", "--revoke")).exitCode).toBe(0);
  expect((await world.run("secret", "grant", "my_pack")).exitCode).toBe(6);
  for (const words of [["--use", "A@b.example"], ["my_pack", "--use", "A@b.example", "--get", "A"], ["--revoke"]])
    expect([words, (await world.run("secret", "grant", ...words)).exitCode]).toEqual([words, 2]);
  made.rights.secretsState = "locked";
  const locked = await world.run("secret", "list");
  expect([redLines(locked.stdout).length, locked.stdout.includes("rumi doctor")]).toEqual([1, true]);
  world.secrets.push(VALUE);
  expect((await world.run("secret", "set", "API_KEY")).exitCode).toBe(4);
});

test("stores are made, read, shared by their owner's name and deleted; a write share is red", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  made.rights.addStore("my_pack__cache", "my_pack", { "a/b": { n: 1 }, "a/c": "\u001b[2J" });
  expect((await world.run("store", "create", "notes", "--max-keys", "5")).stdout).toContain("rumi grant add PACK store.get");
  expect((await world.run("store", "create", "notes")).exitCode).toBe(5);
  expect((await world.run("store", "create", "x", "--max-keys", "many")).exitCode).toBe(2);
  expect((await world.run("store", "keys", "my_pack__cache", "--prefix", "a/")).stdout).toBe("a/b\na/c\n");
  expect(JSON.parse((await world.run("store", "get", "my_pack__cache", "a/b")).stdout)).toEqual({ n: 1 });
  expect((await world.run("store", "get", "my_pack__cache", "a/c")).stdout).toBe('"\\u001b[2J"\n');
  expect((await world.run("store", "get", "my_pack__cache", "none")).stderr).toContain("rumi store keys my_pack__cache");
  const shared = await world.run("store", "share", "my_pack__cache", "other", "--mode", "read_write");
  expect(redLines(shared.stdout)).toEqual([`${RED}my_pack__cache  my_pack  other    read_write\u001b[0m`]);
  expect(shared.stdout).toContain("rumi grant add other store.get -c allowed_store_ids=my_pack__cache");
  expect((await world.run("store", "list", "--shared")).stdout).toContain("my_pack__cache");
  expect((await world.run("store", "unshare", "my_pack__cache", "other")).stdout).toBe("Nothing is shared.\n");
  expect((await world.run("store", "unshare", "my_pack__cache", "other")).exitCode).toBe(6);
  expect((await world.run("store", "share", "notes", "other")).exitCode).toBe(2);
  expect((await world.run("store", "share", "none", "other")).exitCode).toBe(6);
  expect((await world.run("store", "import", "notes", "/srv/notes", "--overwrite")).stdout).toBe("1 imported, 0 skipped, 0 failed.\n");
  const kept = await world.run("store", "delete", "my_pack__cache");
  expect([kept.exitCode, kept.stderr.includes("rumi store delete my_pack__cache --force")]).toEqual([5, true]);
  expect((await world.run("store", "rm", "my_pack__cache", "--force")).exitCode).toBe(0);
});

test("privileges are red, and their words are checked before anything is asked", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  await world.run("privilege", "grant", "my_pack", "host.mount", "/srv/data:/mnt/data", "/srv/out:/mnt/out:rw");
  expect(made.rights.privileges.get("my_pack")?.get("host.mount")).toEqual([
    { source: "/srv/data", target: "/mnt/data", read_only: true },
    { source: "/srv/out", target: "/mnt/out", read_only: false },
  ]);
  await world.run("privilege", "grant", "my_pack", "allow_wildcard_modifiers");
  const { stdout } = await world.run("privilege", "ls");
  expect(redLines(stdout).length).toBe(2);
  expect(stdout).toContain("/srv/data:/mnt/data /srv/out:/mnt/out:rw");
  made.calls.length = 0;
  for (const words of [
    ["host.execute"],
    ["host.mount"],
    ["host.mount", "/srv:/etc"],
    ["host.mount", "srv:/mnt/x"],
    ["allow_wildcard_modifiers", "x"],
  ])
    expect([words, (await world.run("privilege", "grant", "my_pack", ...words)).exitCode]).toEqual([words, 2]);
  expect(made.calls).toEqual([]);
  expect((await world.run("privilege", "grant", "my_pack", "host.execute", "*")).stderr).toContain("capability.invalid_config");
  expect((await world.run("privilege", "grant", "my_pack", "host.root")).exitCode).not.toBe(0);
  expect((await world.run("privilege", "revoke", "my_pack", "host.mount")).exitCode).toBe(0);
  expect((await world.run("privilege", "revoke", "my_pack", "host.mount")).exitCode).toBe(6);
});

test("key g and --grant give what is declared; the screen shows that, and in red what they leave out", async () => {
  const { house: made, world } = await house();
  world.interactive = true;
  made.addPack("new_pack");
  const declared = [
    { permission_id: "network.egress", config: { allowed_domains: ["a.example"], allowed_ports: [443] }, left_out: ["127.0.0.1:11434"] },
    { permission_id: "flow.run", config: null, left_out: ["allowed_flow_ids *"] },
    { permission_id: "store.get", config: { allowed_store_ids: ["x"] }, left_out: [], held: true },
  ];
  made.rights.declared.set("new_pack", declared);
  made.reviewExtras = {
    declared_grants: declared,
    undeclared_grants: [{ permission_id: "docker.run", config: { allowed_images: ["a"] } }],
  };
  world.interactive = false;
  const plain = (await world.run("pack", "review", "new_pack")).stdout.trimEnd().split("\n").slice(-2);
  expect(plain[1]).toBe(`With its rights: ${(plain[0] ?? "").replace("Next: ", "")} --grant`);
  world.interactive = true;
  world.keys.push("g");
  const { exitCode, stdout } = await world.run("pack", "review", "new_pack");
  expect(exitCode).toBe(0);
  expect(stdout).toContain("  + network.egress  allowed_domains=a.example allowed_ports=443\n");
  expect(stdout).toContain("  + store.get  allowed_store_ids=x  (held already)\n");
  expect(redLines(stdout).map((line) => line.slice(RED.length, 44))).toContain("  ! network.egress  127.0.0.1:11434  (n");
  expect(stdout).toContain("holds a right it does not declare: docker.run  allowed_images=a");
  expect([...(made.rights.held.get("new_pack")?.keys() ?? [])]).toEqual(["network.egress", "store.get"]);
  made.addPack("new_pack");
  made.rights.held.clear();
  world.keys.push("a");
  await world.run("pack", "review", "new_pack");
  expect([made.packs.get("new_pack")?.status, made.rights.held.size]).toEqual(["approved", 0]);
  const digest = `sha256:${createHash("sha256").update("v1").digest("hex")}`;
  const yes = await world.run("pack", "approve", "new_pack", "--yes", "--digest", digest, "--grant");
  expect(yes.stdout).toContain("  + network.egress  allowed_domains=a.example allowed_ports=443\n");
  expect(yes.stdout).toContain("flow.run: allowed_flow_ids * was not granted");
  expect(made.rights.held.get("new_pack")?.size).toBe(2);
});

test("H55 what a pack, a principal or a stored text says is printed escaped in every list", async () => {
  const { house: made, world } = await house();
  const evil = "\u001b[2Jx\u202ey\u0007";
  const given = { granted_at: evil, granted_by: evil, undeclared: [evil], last_used_at: evil, expires_at: evil };
  made.deps.grants.list = () => [
    { principal_id: evil, status: "ok", rights: [{ permission_id: evil, config: { [evil]: [evil], b: evil }, ...given }] },
    { principal_id: evil, status: "tampered", rights: [] },
  ];
  made.deps.network.list = () => ({
    grants: { [evil]: { pack_id: evil, allowed_domains: [evil], allowed_ports: [evil], ...given } },
    disabled_packs: { [evil]: evil },
  });
  made.deps.network.report = () => ({
    observed: [{ domain: evil, port: 1, count: 1, would_allow: false, last_at: evil }],
    proposed: { allowed_domains: [evil], allowed_ports: [443] },
  });
  made.deps.privileges.list = () => [{ pack_id: evil, privileges: [{ privilege: evil, config: [{ source: evil, target: evil }, evil] }] }];
  made.deps.stores.list = () => [{ store_id: evil, owner: evil, keys: 1, bytes: 1 }];
  made.deps.stores.shares = () => [{ provider_pack_id: evil, consumer_pack_id: evil, store_id: evil, mode: "read_write" }];
  for (const words of [
    ["grant", "list"],
    ["network", "list"],
    ["network", "report", "my_pack"],
    ["secret", "grant"],
    ["privilege", "list"],
    ["store", "list"],
    ["store", "list", "--shared"],
  ]) {
    const { stdout, stderr } = await world.run(...words);
    expect([words, (stdout + stderr).replaceAll("\n", "").match(/[\p{Cc}\p{Cf}]/u)]).toEqual([words, null]);
  }
});

test("H53 rights have the exit codes of their refusals", async () => {
  const { house: made } = await house();
  const reader = new FakeWorld(made, await made.token("read"));
  const approver = new FakeWorld(made, await made.token("approve"));
  for (const words of [
    ["grant", "add", "my_pack", "a.b"],
    ["network", "revoke", "my_pack"],
    ["secret", "delete", "API_KEY"],
    ["store", "get", "notes", "a"],
    ["privilege", "grant", "my_pack", "host.execute", "h"],
  ])
    expect([words, (await reader.run(...words)).exitCode]).toEqual([words, 3]);
  expect((await approver.run("privilege", "grant", "my_pack", "host.execute", "h")).exitCode).toBe(3);
  expect((await approver.run("grant", "revoke", "my_pack", "a.b")).exitCode).toBe(6);
  expect((await approver.run("grant", "add", "my_pack", "a.b")).exitCode).toBe(0);
  expect((await new FakeWorld(null, "x").run("secret", "list")).exitCode).toBe(4);
});

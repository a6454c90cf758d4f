import type { JsonObject, PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { openTestGrants, type TestGrants } from "./testing/open-test-grants.ts";

const A = "a" as PackId;

async function withGrant(folder: string, config: JsonObject): Promise<TestGrants> {
  const opened = await openTestGrants(folder);
  await opened.give("a", "network.egress", config);
  return opened;
}

test("the reasons of a check come in their order", async () => {
  await using home = await temporaryFolder();
  const clock = new ManualClock();
  const { network, give, gate } = await openTestGrants(home.path, { clock });
  const reason = (domain = "x.com", port = 443): string => network.check("a", domain, port).reason;
  gate.closed.add("a");
  expect(reason()).toBe("Pack is not approved");
  gate.closed.clear();
  expect(reason()).toBe("No network grant for this pack");
  await give("a", "network.egress", { allowed_domains: ["x.com"], allowed_ports: [443] }, "2026-01-01T00:01:00Z");
  expect(network.check("a", "x.com", 443)).toEqual({ allowed: true, reason: "Access granted", pack_id: "a", domain: "x.com", port: 443 });
  expect(reason("y.com", 80)).toBe("Domain not in allowed list");
  expect(reason("x.com", 80)).toBe("Port not in allowed list");
  clock.advance(60_000);
  expect(reason("y.com", 80)).toBe("Network grant expired");
  gate.closed.add("a");
  expect(reason()).toBe("Pack is not approved");
  expect(network.check("__proto__", "x.com", 443).reason).toBe("Pack is not approved");
});

test("T47 *.foo.com names foo.com and all below it, in any case and with a last dot, and nothing else", async () => {
  await using home = await temporaryFolder();
  const { network } = await withGrant(home.path, { allowed_domains: ["*.Foo.com."], allowed_ports: [443] });
  for (const domain of ["foo.com", "b.a.FOO.com.", "api.foo.com", "FOO.COM"]) {
    expect(network.check("a", domain, 443)).toMatchObject({ allowed: true, domain });
  }
  for (const domain of [
    "xfoo.com",
    "foo.com.evil.org",
    "com",
    "foo.com..",
    ".foo.com",
    "*.foo.com",
    "foo.com:443",
    "a@foo.com",
    "foo.com/x",
    "",
    "f oo.com",
    "foo.com\u0000",
    "x\nfoo.com",
  ]) {
    expect(network.check("a", domain, 443), JSON.stringify(domain)).toMatchObject({ allowed: false, reason: "Domain not in allowed list" });
  }
});

test("T47 a wildcard over a whole top-level domain, or anything that is no domain, is refused", async () => {
  await using home = await temporaryFolder();
  const { give } = await openTestGrants(home.path);
  const wrong = ["*.com", "*.com.", "*.", "*.*", "*x.com", "a.*.com", "**", "x.com:443", "http://x.com", "x.com/", "a..b", "-x.com", "x_.com-", "*.1.2.3.4", "*.3.4", "[::1]", "127.0.0.1", "10.1.2.3", "0x7f.1", "2130706433", "169.254.169.254", "192.168.0.1", "::ffff:8.8.8.8", "fe80::1%eth0", "64:ff9b::808:808", "2002:808:808::1", "2001:db8::1", "x".repeat(64) + ".com", "a.".repeat(130) + "com", "%6c.com", "ex ample.com", ""]; // prettier-ignore
  for (const domain of wrong) {
    await expect(
      give("a", "network.egress", { allowed_domains: [domain], allowed_ports: [443] }),
      JSON.stringify(domain),
    ).rejects.toMatchObject({ code: "capability.invalid_config" });
  }
});

test("names and addresses are held in one form, at the grant and at the check", async () => {
  await using home = await temporaryFolder();
  const asked = ["Bücher.example", "EXAMPLE.com.", "8.8.8.8", "2606:4700:0000::1111", "[2620:FE::fe]", "localhost"];
  const { network, grants } = await withGrant(home.path, { allowed_domains: asked, allowed_ports: ["*"] });
  const [grant] = grants.list("a").a ?? [];
  expect(grant?.config.allowed_domains).toEqual([
    "xn--bcher-kva.example",
    "example.com",
    "8.8.8.8",
    "2606:4700::1111",
    "2620:fe::fe",
    "localhost",
  ]);
  for (const domain of [
    "xn--bcher-kva.example",
    "BÜCHER.example",
    "example。com",
    "0x08.8.8.8",
    "134744072",
    "[2606:4700::1111]",
    "2620:fe:0::fe",
  ]) {
    expect(network.check("a", domain, 443).allowed, domain).toBe(true);
  }
});

test("X64 a grant of api.x.com and 443: another port no, a subdomain no, a last dot yes", async () => {
  await using home = await temporaryFolder();
  const { network } = await withGrant(home.path, { allowed_domains: ["api.x.com"], allowed_ports: [443] });
  expect(network.check("a", "api.x.com", 80).reason).toBe("Port not in allowed list");
  expect(network.check("a", "sub.api.x.com", 443).reason).toBe("Domain not in allowed list");
  expect(network.check("a", "x.com", 443).reason).toBe("Domain not in allowed list");
  expect(network.check("a", "api.x.com.", 443).allowed).toBe(true);
  for (const port of [0, -1, 65_536, 443.5, Number.NaN]) expect(network.check("a", "api.x.com", port).allowed).toBe(false);
});

test('"*" names every host and every port, and neither a private pair nor a bad port', async () => {
  await using home = await temporaryFolder();
  const { network } = await withGrant(home.path, { allowed_domains: ["*"], allowed_ports: ["*"] });
  expect(network.check("a", "any.where", 1).allowed).toBe(true);
  expect(network.check("a", "any.where", 0).allowed).toBe(false);
  expect(network.limits(A)).toEqual({ allow_private: [], allowed_methods: null, requests_per_minute: 60 });
});

test("X69 X89 allow_private names pairs, by name or address; each allows itself and nothing beside it", async () => {
  await using home = await temporaryFolder();
  const { network } = await withGrant(home.path, {
    allowed_domains: [],
    allowed_ports: [],
    allow_private: ["127.0.0.1:11434", "NAS.home.:8080", "[0:0::1]:9000"],
  });
  expect(network.limits(A)?.allow_private).toEqual(["127.0.0.1:11434", "nas.home:8080", "[::1]:9000"]);
  for (const [host, port] of [
    ["127.0.0.1", 11_434],
    ["nas.home", 8080],
    ["::1", 9000],
    ["[::1]", 9000],
    ["0x7f000001", 11_434],
  ] as const) {
    expect(network.check("a", host, port).allowed, host).toBe(true);
  }
  for (const [host, port] of [
    ["127.0.0.1", 8765],
    ["127.0.0.2", 11_434],
    ["nas.home", 11_434],
    ["x.nas.home", 8080],
    ["::1", 9001],
    ["169.254.169.254", 80],
  ] as const) {
    expect(network.check("a", host, port).allowed, host).toBe(false);
  }
});

test("allow_private is refused in any other form, and needs its own yes at every level", async () => {
  await using home = await temporaryFolder();
  const { give, network } = await openTestGrants(home.path);
  const base = { allowed_domains: ["x.com"], allowed_ports: [443] };
  for (const pair of [
    "*",
    "*:80",
    "127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:080",
    "::1:80",
    "nas:http",
    ":80",
    "127.0.0.1:*",
    "a b:1",
    "*.home:80",
    "10.0.0.0/8:80",
  ]) {
    await expect(give("a", "network.egress", { ...base, allow_private: [pair] }), pair).rejects.toMatchObject({
      code: "capability.invalid_config",
    });
  }
  await give("a", "network.egress", base);
  await give("a__b", "network.egress", { ...base, allow_private: ["127.0.0.1:11434"] });
  expect(network.limits("a__b" as PackId)).toMatchObject({ allow_private: [] });
  expect(network.check("a__b", "127.0.0.1", 11_434).allowed).toBe(false);
  expect(network.check("a__b", "x.com", 443).allowed).toBe(true);
  await give("a", "network.egress", { ...base, allow_private: ["127.0.0.1:11434", "10.0.0.1:1"] });
  expect(network.limits("a__b" as PackId)).toMatchObject({ allow_private: ["127.0.0.1:11434"] });
});

test("a private address may stand in allowed_domains only beside its pair", async () => {
  await using home = await temporaryFolder();
  const { network } = await withGrant(home.path, {
    allowed_domains: ["127.0.0.1"],
    allowed_ports: [1],
    allow_private: ["127.0.0.1:11434"],
  });
  expect(network.check("a", "127.0.0.1", 11_434).allowed).toBe(true);
});

test("a verdict judges the method too, brings the limits, and takes a use", async () => {
  await using home = await temporaryFolder();
  const { network, grants, gate } = await withGrant(home.path, {
    allowed_domains: ["x.com"],
    allowed_ports: [443],
    allowed_methods: ["get", "HEAD"],
    requests_per_minute: 5,
    max_uses: 2,
  });
  const ask = { principal: A, host: "x.com", port: 443, method: "GET" as string | null };
  const limits = { allow_private: [], allowed_methods: ["GET", "HEAD"], requests_per_minute: 5 };
  expect(network.verdict(ask)).toEqual({ allowed: true, reason: "Access granted", limits });
  expect(network.verdict({ ...ask, method: "POST" })).toMatchObject({ allowed: false, reason: "Method not in allowed list", limits });
  expect(network.verdict({ ...ask, method: null })).toMatchObject({ allowed: false, reason: "Method not in allowed list" });
  expect(network.verdict({ ...ask, port: 80 })).toMatchObject({ allowed: false, reason: "Port not in allowed list" });
  expect(network.check("a", "x.com", 443).allowed).toBe(true);
  expect(network.verdict(ask).allowed).toBe(true);
  expect(network.verdict(ask)).toMatchObject({ allowed: false, code: "capability.limit_reached" });
  expect(grants.list("a").a?.[0]?.last_used_at).not.toBeNull();
  gate.closed.add("a");
  expect(network.verdict(ask)).toEqual({ allowed: false, reason: "Pack is not approved", code: "approval.modified", limits: null });
  expect(network.verdict({ ...ask, principal: "b" as PackId })).toMatchObject({ reason: "No network grant for this pack", limits: null });
});

test("a pack has a network while every level holds a grant that reaches something", async () => {
  await using home = await temporaryFolder();
  const { network, give, grants } = await openTestGrants(home.path);
  expect(network.hasNetwork(A)).toBe(false);
  await give("a", "network.egress", { allowed_domains: [], allowed_ports: [] });
  expect(network.hasNetwork(A)).toBe(false);
  await give("a", "network.egress", { allowed_domains: ["x.com"], allowed_ports: [443] });
  expect([network.hasNetwork(A), network.hasNetwork("a__b" as PackId)]).toEqual([true, false]);
  await grants.revoke({ principal_id: "a", permission_id: "network.egress", actor: "operator" });
  expect([network.hasNetwork(A), network.limits(A)]).toEqual([false, null]);
});

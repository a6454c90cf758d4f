import type { ApprovedPack } from "@rumi/approval";
import { openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import type { Decision, Digest, ErrorCode, PackId } from "@rumi/core";
import { sha256 } from "@rumi/core";
import { egressPolicyContract } from "@rumi/egress/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PackEgressPolicy } from "./pack-egress-policy.ts";

const DIGEST = sha256("now");
let cleanup: AsyncDisposableStack;
let book: TestGrants;
let manifest: { egress_allow_domains?: string[]; egress_deny_domains?: string[] };
let policy: PackEgressPolicy;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-egress-"));
  book = await openTestGrants(folder.path);
  manifest = {};
  const approvals = {
    gate: (pack_id: PackId, digest?: Digest): Decision<ApprovedPack, ErrorCode> =>
      digest === DIGEST
        ? ({ allowed: true, pack_id, digest, pack: { manifest } } as unknown as Decision<ApprovedPack, ErrorCode>)
        : { allowed: false, code: "approval.digest_moved", reason: "other bytes" },
  };
  policy = new PackEgressPolicy({ approvals, network: book.network });
});
afterEach(() => cleanup.disposeAsync());

const ask = (host: string, over: { port?: number; digest?: Digest; method?: string | null } = {}) =>
  policy.decide({ principal: "alpha" as PackId, digest: DIGEST, host, port: 443, method: "GET", ...over });
const grant = (config: object): Promise<void> => book.give("alpha", "network.egress", { ...config });

test("without a grant, or asked by bytes that are not the approved ones, nothing passes", async () => {
  expect(ask("api.x.com")).toMatchObject({ allowed: false, reason: "No network grant for this pack" });
  expect(policy.limits("alpha" as PackId)).toBeNull();
  await grant({ allowed_domains: ["*"], allowed_ports: ["*"] });
  expect(ask("api.x.com")).toMatchObject({ allowed: true, reason: "Access granted" });
  expect(policy.limits("alpha" as PackId)).toMatchObject({ requests_per_minute: 60 });
  expect(ask("api.x.com", { digest: sha256("old") })).toEqual({
    allowed: false,
    reason: "Pack is not approved",
    code: "approval.digest_moved",
    limits: null,
    final: true,
  });
});

test("X76 what the manifest denies is denied whatever is granted, and deny beats its own allow", async () => {
  await grant({ allowed_domains: ["*"], allowed_ports: [443] });
  manifest = { egress_allow_domains: ["*.x.com", "Good.org."], egress_deny_domains: ["bad.x.com", "*.Evil.x.com"] };
  const allowed = ["x.com", "a.x.com", "good.org"];
  const denied = ["bad.x.com", "evil.x.com", "a.evil.x.com", "xx.com", "sub.good.org", "other.org", "1.2.3.4"];
  for (const host of allowed) expect(ask(host)).toMatchObject({ allowed: true });
  for (const host of denied) expect(ask(host)).toMatchObject({ allowed: false, reason: "Domain not in allowed list" });
  expect(ask("a.x.com", { port: 80 })).toMatchObject({ allowed: false, reason: "Port not in allowed list" });
});

test("an empty list allows nothing, an absent one everything that is granted; what is no domain covers nothing", async () => {
  await grant({ allowed_domains: ["*.x.com"], allowed_ports: ["*"] });
  manifest = { egress_allow_domains: [] };
  expect(ask("a.x.com")).toMatchObject({ allowed: false });
  manifest = { egress_allow_domains: ["", "*.", "http://a.x.com", "a*"] };
  expect(ask("a.x.com")).toMatchObject({ allowed: false });
  manifest = { egress_allow_domains: ["*"] };
  expect(ask("a.x.com")).toMatchObject({ allowed: true });
  expect(ask("y.com")).toMatchObject({ allowed: false });
});

test("a request that the manifest refuses takes no use of the grant", async () => {
  await grant({ allowed_domains: ["*"], allowed_ports: ["*"], max_uses: 1 });
  manifest = { egress_deny_domains: ["bad.com"] };
  for (let n = 0; n < 3; n += 1) expect(ask("bad.com")).toMatchObject({ allowed: false });
  expect(ask("good.com")).toMatchObject({ allowed: true });
  expect(ask("good.com")).toMatchObject({ allowed: false });
});

test("what no report may change is marked so, and a check takes no use", async () => {
  manifest = { egress_deny_domains: ["bad.com"] };
  expect(ask("bad.com")).toMatchObject({ allowed: false, reason: "No network grant for this pack", final: true });
  expect(ask("good.com")).not.toMatchObject({ final: true });
  await grant({ allowed_domains: ["*"], allowed_ports: ["*"], max_uses: 1 });
  const check = (host: string) => policy.check({ principal: "alpha" as PackId, digest: DIGEST, host, port: 443, method: "GET" });
  for (let n = 0; n < 3; n += 1) expect(check("good.com")).toMatchObject({ allowed: true, reason: "Access granted" });
  expect(check("bad.com")).toMatchObject({ allowed: false, reason: "Domain not in allowed list" });
  expect(ask("good.com")).toMatchObject({ allowed: true });
});

egressPolicyContract("PackEgressPolicy", async (given) => {
  if (given !== null) {
    const { domains, ports, allowPrivate, methods, perMinute } = given;
    await grant({
      allowed_domains: domains,
      allowed_ports: ports === "*" ? ["*"] : ports,
      ...(allowPrivate === undefined ? {} : { allow_private: allowPrivate }),
      ...(methods === undefined ? {} : { allowed_methods: methods }),
      ...(perMinute === undefined ? {} : { requests_per_minute: perMinute }),
    });
    manifest = given.deny === undefined ? {} : { egress_deny_domains: [...given.deny] };
  }
  return { policy, principal: "alpha" as PackId, digest: given?.approved === false ? sha256("old") : DIGEST };
});

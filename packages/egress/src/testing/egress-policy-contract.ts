import type { Digest, PackId } from "@rumi/core";
import { describe, expect, test } from "vitest";
import type { EgressPolicy, EgressVerdict } from "../ports.ts";
import type { TestGrant } from "./test-policy.ts";

/** One principal with one grant, or none, and the policy that judges it. */
export interface PolicyUnderTest {
  readonly policy: EgressPolicy;
  readonly principal: PackId;
  readonly digest: Digest;
}

/** What every `EgressPolicy` keeps to. `open` gives one whose principal holds exactly `grant`. */
export function egressPolicyContract(name: string, open: (grant: TestGrant | null) => Promise<PolicyUnderTest>): void {
  describe(`${name} as an EgressPolicy`, () => {
    const asked = async (grant: TestGrant | null): Promise<(host: string, port?: number, method?: string | null) => EgressVerdict> => {
      const { policy, principal, digest } = await open(grant);
      return (host, port = 443, method = "GET") => policy.decide({ principal, digest, host, port, method });
    };

    test("without a grant nothing passes, and there are no limits", async () => {
      const { policy, principal, digest } = await open(null);
      const ask = { principal, digest, host: "a.example", port: 443, method: "GET" };
      expect(policy.decide(ask)).toMatchObject({ allowed: false, reason: "No network grant for this pack" });
      expect(policy.limits(principal)).toBeNull();
    });

    test("an exact name covers itself alone; a pattern its apex and what lies below", async () => {
      const exact = await asked({ domains: ["api.x.example"], ports: [443] });
      expect(exact("api.x.example")).toMatchObject({ allowed: true, reason: "Access granted" });
      for (const host of ["x.example", "a.api.x.example", "xapi.x.example", "api.x.example.evil.example"]) {
        expect(exact(host), host).toMatchObject({ allowed: false, reason: "Domain not in allowed list" });
      }
      const pattern = await asked({ domains: ["*.x.example"], ports: [443] });
      for (const host of ["x.example", "a.x.example", "b.a.x.example"]) expect(pattern(host), host).toMatchObject({ allowed: true });
      for (const host of ["xx.example", "example", "x.example.evil.example"]) expect(pattern(host), host).toMatchObject({ allowed: false });
    });

    test("ports are judged after the name, and every one passes only by name of all", async () => {
      const some = await asked({ domains: ["a.example"], ports: [443] });
      expect(some("a.example", 8443)).toMatchObject({ allowed: false, reason: "Port not in allowed list" });
      expect(some("b.example", 8443)).toMatchObject({ allowed: false, reason: "Domain not in allowed list" });
      const every = await asked({ domains: ["a.example"], ports: "*" });
      for (const port of [1, 80, 65_535]) expect(every("a.example", port)).toMatchObject({ allowed: true });
    });

    test("empty lists allow nothing", async () => {
      expect((await asked({ domains: ["*"], ports: [] }))("a.example")).toMatchObject({ allowed: false });
    });

    test("methods are limited where the grant says so, and a yes carries the grant's limits", async () => {
      const decide = await asked({ domains: ["*"], ports: "*", methods: ["GET"], allowPrivate: ["127.0.0.1:11434"], perMinute: 7 });
      expect(decide("a.example", 443, "POST")).toMatchObject({ allowed: false });
      expect(decide("a.example")).toMatchObject({
        allowed: true,
        limits: { allow_private: ["127.0.0.1:11434"], allowed_methods: ["GET"], requests_per_minute: 7 },
      });
    });

    test("what the gate or the manifest forbids is a final no, with a grant or without", async () => {
      expect((await asked({ domains: ["*"], ports: "*", approved: false }))("a.example")).toMatchObject({
        allowed: false,
        reason: "Pack is not approved",
        final: true,
      });
      const denied = await asked({ domains: ["*"], ports: "*", deny: ["*.bad.example"] });
      expect(denied("x.bad.example")).toMatchObject({ allowed: false, final: true });
      expect(denied("good.example")).toMatchObject({ allowed: true });
    });
  });
}

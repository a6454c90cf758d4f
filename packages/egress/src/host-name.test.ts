import fc from "fast-check";
import { expect, test } from "vitest";
import { judgeAddress } from "./address-class.ts";
import { canonicalHost, canonicalPair } from "./host-name.ts";
import { parseTarget } from "./target-url.ts";

test.each([
  ["API.Example.COM.", "api.example.com", "name"],
  ["bücher.example", "xn--bcher-kva.example", "name"],
  ["0x7f.1", "127.0.0.1", "ipv4"],
  ["2130706433", "127.0.0.1", "ipv4"],
  ["[::ffff:127.0.0.1]", "::ffff:7f00:1", "ipv6"],
  ["2001:DB8:0:0::1", "2001:db8::1", "ipv6"],
])("%s is %s", (text, host, kind) => {
  expect(canonicalHost(text)).toEqual({ host, kind });
});

test.each([
  "",
  ".",
  "a..b",
  "a b",
  "a/b",
  "a@b",
  "a%41",
  "fe80::1%eth0",
  "[::1",
  "[::1]:80",
  "a:80",
  "-a.b",
  "a-.b",
  "a".repeat(64),
  "*.x.y",
  "a\\b",
])("%j is no host", (text) => {
  expect(canonicalHost(text)).toBeNull();
});

test("what is canonical stays so, whatever it came from", () => {
  fc.assert(
    fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
      const first = canonicalHost(text);
      if (first !== null) expect(canonicalHost(first.host)).toEqual(first);
    }),
    { numRuns: 2000 },
  );
});

test("no text makes the target throw, and what it takes goes where a URL parser says", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.webUrl({ withQueryParameters: true }),
        fc.string().map((text) => `http://${text}`),
      ),
      (text) => {
        const target = parseTarget(text);
        if ("fault" in target) return;
        const url = new URL(text);
        expect(target.host).toBe(url.hostname.replace(/^\[|\]$/gu, "").replace(/\.$/u, ""));
        expect(target.port).toBe(Number(url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port));
        expect(target.path).toBe(`${url.pathname}${url.search}`);
      },
    ),
    { numRuns: 2000 },
  );
});

test("pairs of allow_private", () => {
  expect(canonicalPair("LOCALHOST.:80")).toEqual({ host: "localhost", port: 80 });
  expect(canonicalPair("[::1]:8080")).toEqual({ host: "::1", port: 8080 });
  for (const text of ["localhost", ":80", "a:0", "a:65536", "a:b", "::1", ""]) expect(canonicalPair(text)).toBeNull();
});

test("every IPv4 address is judged alike in all its IPv6 forms", () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      const plain = judgeAddress(address).class;
      const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
      const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
      for (const form of [`::ffff:${address}`, `64:ff9b::${address}`, `64:ff9b:1::${address}`, `2002:${hex}::1`, `0:0:0:0:0:ffff:${hex}`]) {
        expect(judgeAddress(form)).toMatchObject({ class: plain, inside: address });
      }
    }),
    { numRuns: 1000 },
  );
});

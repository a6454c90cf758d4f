import type { SecretKey } from "@rumi/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fillPlaceholders, findPlaceholders, MAX_PLACEHOLDERS, type SecretParts } from "./index.ts";

const VALUES = new Map([
  ["K", 'a"b/c d&e=\u65e5'],
  ["PASS", "pa:ss"],
  ["LINES", "one\r\ntwo"],
] as [SecretKey, string][]);

function parts(more: Partial<SecretParts> = {}): SecretParts {
  return { target: "/", headers: [], body: null, ...more };
}

function filled(more: Partial<SecretParts>): SecretParts | string {
  const answer = fillPlaceholders(parts(more), VALUES);
  return answer.ok ? answer.parts : answer.reason;
}

function bodyAfter(type: string | null, body: string): string {
  const answer = filled({ headers: type === null ? [] : [["Content-Type", type]], body: Buffer.from(body) });
  return typeof answer === "string" ? answer : Buffer.from(answer.body ?? []).toString();
}

test("T63 a value is put in, escaped for its place", () => {
  expect(filled({ headers: [["Authorization", "Bearer {{secret:PASS}}"]] })).toMatchObject({
    headers: [["Authorization", "Bearer pa:ss"]],
  });
  expect(filled({ headers: [["x", "{{secret:PASS|basic:me@x.io}}"]] })).toMatchObject({
    headers: [["x", Buffer.from("me@x.io:pa:ss").toString("base64")]],
  });
  expect(filled({ headers: [["x", "{{secret:K}}"]] })).toMatchObject({
    headers: [["x", Buffer.from(VALUES.get("K" as SecretKey) ?? "").toString("latin1")]],
  });
  expect(filled({ target: "/p?a=1&k={{secret:K}}&b={{secret:PASS}}" })).toMatchObject({
    target: "/p?a=1&k=a%22b%2Fc%20d%26e%3D%E6%97%A5&b=pa%3Ass",
  });
  expect(bodyAfter("application/json; charset=utf-8", '{"k": "{{secret:K}}"}')).toBe('{"k": "a\\"b/c d&e=\u65e5"}');
  expect(bodyAfter("application/vnd.api+json", '["{{secret:LINES}}"]')).toBe('["one\\r\\ntwo"]');
  expect(bodyAfter("application/x-www-form-urlencoded", "a=1&k={{secret:K}}")).toBe("a=1&k=a%22b%2Fc%20d%26e%3D%E6%97%A5");
  expect(bodyAfter("text/plain", "it is {{secret:K}}.")).toBe('it is a"b/c d&e=\u65e5.');
  expect(bodyAfter(null, '{"k": "{{secret:K}}"}')).toBe('{"k": "a\\"b/c d&e=\u65e5"}');
  expect(bodyAfter(null, "{{secret:PASS}}")).toBe("pa:ss");
});

test("a placeholder that the client percent-encoded is one in queries and forms", () => {
  const encoded = encodeURIComponent("{{secret:PASS}}");
  expect(filled({ target: `/?k=${encoded}&n={{secret%3aPASS}}` })).toMatchObject({ target: "/?k=pa%3Ass&n=pa%3Ass" });
  expect(bodyAfter("application/x-www-form-urlencoded", `k=${encodeURIComponent("{{secret:PASS|basic:me@x}}")}`)).toBe(
    `k=${encodeURIComponent(Buffer.from("me@x:pa:ss").toString("base64"))}`,
  );
});

test("T65 in the path, in names and where the grammar does not fit, it stays the text it is", () => {
  const literal = [
    { target: "/{{secret:K}}/x" },
    { target: "/?{{secret:K}}" },
    { target: "/?{{secret:K}}=1" },
    { headers: [["{{secret:K}}", "1"]] as const },
    {
      headers: [
        ["x", "{{secret:k}} {{secret:}} {{ secret:K }} {secret:K} {{secret:K|other:u}} {{secret:K|basic:}} {{secret:K|basic:a:b}}"],
      ] as const,
    },
    { headers: [["x", `{{secret:${"K".repeat(65)}}}`]] as const },
    { target: "/?a=%7B%7BSECRET:K%7D%7D&b={{secret:k}}" },
  ];
  for (const one of literal) {
    expect(findPlaceholders(parts(one))).toEqual({ ok: true, placeholders: [] });
    expect(filled(one)).toEqual(parts(one));
  }
  const binary = Buffer.concat([Buffer.from("{{secret:K}}"), Buffer.from([0xff, 0xfe])]);
  expect(filled({ body: binary })).toMatchObject({ body: binary });
});

test("T65 a value that cannot stand in a header is refused, without showing it", () => {
  expect(filled({ headers: [["x", "{{secret:LINES}}"]] })).toBe("the value of LINES cannot stand in a header");
  for (const bad of ["a\0b1", "abc\n", "\x7fabc", "\x1babc"]) {
    const answer = fillPlaceholders(parts({ headers: [["x", "{{secret:B}}"]] }), new Map([["B" as SecretKey, bad]]));
    expect(answer.ok).toBe(false);
    expect(JSON.stringify(answer)).not.toContain("abc");
  }
  expect(filled({ headers: [["x", "{{secret:LINES|basic:u}}"]] })).toMatchObject({
    headers: [["x", Buffer.from("u:one\r\ntwo").toString("base64")]],
  });
  expect(filled({ headers: [["x", "{{secret:NONE}}"]] })).toBe("no value for NONE");
});

test("each placeholder is told with key, slot and user, in order; more than 8 are refused", () => {
  const answer = findPlaceholders({
    target: "/{{secret:PATH}}?q={{secret:Q}}",
    headers: [["a", "{{secret:H}} {{secret:H2|basic:me}}"]],
    body: Buffer.from("{{secret:B}}"),
  });
  expect(answer).toEqual({
    ok: true,
    placeholders: [
      { key: "H", slot: "header", basicUser: null },
      { key: "H2", slot: "header", basicUser: "me" },
      { key: "Q", slot: "query", basicUser: null },
      { key: "B", slot: "body", basicUser: null },
    ],
  });
  const many = (count: number): SecretParts => parts({ headers: [["x", "{{secret:PASS}}".repeat(count)]] });
  expect(findPlaceholders(many(MAX_PLACEHOLDERS)).ok).toBe(true);
  expect(findPlaceholders(many(MAX_PLACEHOLDERS + 1)).ok).toBe(false);
  expect(fillPlaceholders(many(MAX_PLACEHOLDERS + 1), VALUES).ok).toBe(false);
});

test("one pass: what a value says is never a placeholder, nor a replacement pattern", () => {
  const values = new Map([
    ["A", "{{secret:B}}"],
    ["B", "$& $1 $$"],
  ] as [SecretKey, string][]);
  const answer = fillPlaceholders(
    parts({ headers: [["x", "{{secret:A}} {{secret:B}}"]], body: Buffer.from("{{secret:A}}{{secret:B}}") }),
    values,
  );
  expect(answer).toMatchObject({ ok: true, parts: { headers: [["x", "{{secret:B}} $& $1 $$"]] } });
  expect(answer.ok && Buffer.from(answer.parts.body ?? []).toString()).toBe("{{secret:B}}$& $1 $$");
});

test("requests without placeholders pass as they are", () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ unit: "binary" }), fc.uint8Array(), (target, header, body) => {
      const one = parts({ target, headers: [["x", header]], body });
      expect(filled(one)).toEqual(one);
    }),
  );
});

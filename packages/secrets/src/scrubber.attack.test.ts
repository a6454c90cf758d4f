import { randomBytes } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { SecretKey } from "@rumi/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createScrubber, REDACTED } from "./index.ts";
import { escapeFor } from "./placeholder-escapes.ts";
import type { SecretScrubber } from "./index.ts";
import { SPELLINGS } from "./testing/index.ts";

const KEY = "TOKEN" as SecretKey;
const VALUE = 'sk-proj-Zq4/9w+K"m Xp&2_vL8\u65e5sT0%dR';
/** What may not show: everything past the issuer's prefix. */
const CORE = VALUE.slice("sk-proj-".length);

function run(scrubber: SecretScrubber, body: Uint8Array, size: number): Buffer {
  const passed: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += size) passed.push(scrubber.push(body.subarray(at, at + size)).slice());
  return Buffer.concat([...passed, scrubber.end()]);
}

function scrub(body: Uint8Array | string, size = 1 << 20, values: string | readonly string[] = VALUE): { shown: Buffer; hits: number } {
  const list = [values].flat().map((value) => ({ key: KEY, value }));
  const scrubber = createScrubber(list);
  return { shown: run(scrubber, Buffer.from(body as string), size), hits: scrubber.partialHits.get(KEY) ?? 0 };
}

/** Eight bytes of `core` in a row, written as `write` does, that `shown` holds. */
function pieceIn(shown: Buffer, core: string, write: (text: string) => string | Uint8Array): string | null {
  const characters = Array.from(core);
  for (let from = 0; from < characters.length; from++) {
    let to = from + 1;
    while (to < characters.length && Buffer.byteLength(characters.slice(from, to).join("")) < 8) to++;
    const piece = characters.slice(from, to).join("");
    if (Buffer.byteLength(piece) >= 8 && shown.includes(Buffer.from(write(piece) as string))) return piece;
  }
  return null;
}

describe.each(SPELLINGS)("T64 a host that reflects the value as $name", ({ name, write }) => {
  const body = Buffer.concat([Buffer.from('{"you said": "'), Buffer.from(write(VALUE) as string), Buffer.from('", "ok": true}')]);

  test.each([1, 2, 3, 5, 7, 16, 1000])("in chunks of %i shows no 8 bytes of it in a row", (size) => {
    const { shown } = scrub(body, size);
    expect(shown.includes(REDACTED)).toBe(true);
    if (!name.startsWith("base64")) expect(pieceIn(shown, CORE, write)).toBe(null);
    expect(pieceIn(shown, CORE, (text) => text)).toBe(null);
    expect(shown.subarray(0, 13).toString()).toBe('{"you said": ');
    expect(shown.subarray(-12).toString()).toBe('", "ok": true}'.slice(-12));
  });

  test("the whole value coming back is no partial hit", () => {
    expect(scrub(body, 11).hits).toBe(0);
  });
});

test("T64 base64 around any text decodes to no 8 bytes of the value in a row", () => {
  for (let before = 0; before < 6; before++) {
    for (let behind = 0; behind < 6; behind++) {
      const text = Buffer.concat([randomBytes(before), Buffer.from(VALUE), randomBytes(behind)]).toString("base64");
      const shown = scrub(text, 9).shown.toString();
      for (const part of shown.split(REDACTED)) {
        for (let skip = 0; skip < 4; skip++) expect(pieceIn(Buffer.from(part.slice(skip), "base64"), CORE, (piece) => piece)).toBe(null);
      }
    }
  }
});

describe.each([
  { name: "basic credentials", sent: (value: string) => Buffer.from(`user:${value}`).toString("base64") },
  { name: "basic credentials of a longer name", sent: (value: string) => Buffer.from(`user1:${value}`).toString("base64") },
  { name: "basic credentials of a name longer still", sent: (value: string) => Buffer.from(`user12:${value}`).toString("base64") },
  { name: "a query", sent: (value: string) => escapeFor("query", "raw", value) ?? "" },
  { name: "a JSON body", sent: (value: string) => escapeFor("body", "json", value) ?? "" },
])("T64 a host that reflects what it was sent in $name", ({ sent }) => {
  // Escapes are undone twice, and what was sent may hold them already.
  const deep = ["percent twice", "JSON in JSON", "JSON in a query"];
  test.each(SPELLINGS.filter(({ name }) => !deep.includes(name)))("as $name shows none of it", ({ name, write }) => {
    const spelt = Buffer.from(write(sent(VALUE)) as string);
    const { shown, hits } = scrub(Buffer.concat([Buffer.from("<"), spelt, Buffer.from(">")]), 7);
    expect(shown.includes(REDACTED)).toBe(true);
    expect(hits).toBe(0);
    // What is left beside the marker is the user's name and the issuer's prefix, and less than a piece behind it.
    for (const part of shown.toString("latin1").split(REDACTED)) {
      const tail = part.replace(/^[\0=%ADdH3]*>$/u, "");
      if (name === "raw") expect(tail.length).toBeLessThan(24);
      expect(spelt.length - part.length, name).toBeGreaterThan(spelt.length / 2);
    }
  });
});

test("T64 gzip, once decoded, is scrubbed as any body", () => {
  const { shown } = scrub(gunzipSync(gzipSync(`a ${VALUE} b`)), 4);
  expect(shown.toString()).toBe(`a sk-proj-${REDACTED} b`);
});

test("T68 10,000 values through the scrubber, in chunks of any size: no piece of 8 bytes", () => {
  const value = fc
    .oneof(
      fc.string({ minLength: 8, maxLength: 60 }),
      fc.string({ unit: "grapheme", minLength: 3, maxLength: 40 }),
      fc.string({ unit: fc.constantFrom(...Array.from('%\\&;#x41u0"/ \n+=ab')), minLength: 8, maxLength: 40 }),
    )
    .filter(
      (text) => text.isWellFormed() && Buffer.byteLength(text) >= 8 && !/^[A-Za-z]{2,10}[-_]/u.test(text) && !REDACTED.includes(text),
    );
  fc.assert(
    fc.property(value, fc.constantFrom(...SPELLINGS), fc.integer({ min: 1, max: 40 }), (secret, { name, write }, size) => {
      const body = Buffer.concat([Buffer.from("<<"), Buffer.from(write(secret) as string), Buffer.from(">>")]);
      const { shown } = scrub(body, size, secret);
      if (shown.toString().replaceAll(REDACTED, "").length < 8) return;
      expect(
        pieceIn(shown, secret, (text) => text),
        `${name} raw`,
      ).toBe(null);
      if (!name.startsWith("base64")) expect(pieceIn(shown, secret, write), name).toBe(null);
    }),
    { numRuns: 10_000 },
  );
});

test("chunks make no difference", () => {
  const unit = fc.constantFrom(
    "Zq4/9w+K",
    "\\u0022m Xp&amp;2_",
    "vL8",
    "%E6%97%A5sT0",
    "%",
    "\\",
    "&",
    "a",
    "-",
    CORE,
    VALUE,
    "5a71342f39772b4b",
  );
  fc.assert(
    fc.property(
      fc.array(unit, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
      (parts, sizes) => {
        const body = Buffer.from(parts.join(""));
        const scrubber = createScrubber([{ key: KEY, value: VALUE }]);
        const passed: Buffer[] = [];
        for (let at = 0, turn = 0; at < body.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          passed.push(Buffer.from(scrubber.push(body.subarray(at, at + size))));
          at += size;
        }
        passed.push(Buffer.from(scrubber.end()));
        expect(Buffer.concat(passed).toString()).toBe(scrub(body).shown.toString());
      },
    ),
    { numRuns: 5000 },
  );
});

test("a stream's lines are not held back, nor more of one than a piece of the value needs", () => {
  const scrubber = createScrubber([{ key: KEY, value: VALUE }]);
  expect(Buffer.from(scrubber.push(Buffer.from("data: hello\n\n"))).toString()).toBe("data: hello\n\n");
  expect(Buffer.from(scrubber.push(Buffer.from("data: Zq4/"))).toString()).toBe("");
  expect(Buffer.from(scrubber.push(Buffer.from("no\n"))).toString()).toBe("data: Zq4/no\n");
  expect(scrubber.push(Buffer.from("x".repeat(1000))).length).toBeGreaterThan(900);
  const lines = createScrubber([{ key: KEY, value: "first line\nsecond line" }]);
  expect(Buffer.from(lines.push(Buffer.from("data: hello\n"))).toString()).toBe("");
});

test("T67 when bytes are passed on does not tell whether they are the value's: no guess of any length shows by it", () => {
  const sizes = (text: string): number[] => {
    const scrubber = createScrubber([{ key: KEY, value: VALUE }]);
    return ["so far: 0123456789012345678901234567890123456789 ", text, "!", "\n"].map((chunk) => scrubber.push(Buffer.from(chunk)).length);
  };
  for (let length = 1; length < 8; length++) {
    const right = CORE.slice(0, length);
    for (const { name, write } of SPELLINGS.filter(({ write }) => typeof write(right) === "string")) {
      expect(sizes(write(right) as string), `${name} of ${right}`).toEqual(sizes(write(`V${right.slice(1)}`) as string));
    }
  }
});

test("T67 guesses: each piece that comes back without the rest counts, whatever stands beside it", () => {
  expect(scrub(CORE.slice(0, 8)).hits).toBe(1);
  expect(scrub(`${CORE.slice(0, 8)} and ${CORE.slice(3, 12)}`).hits).toBe(2);
  expect(scrub(`${VALUE} and ${VALUE}`).hits).toBe(0);
  // Right behind the whole value, so that both are behind one marker.
  expect(scrub(`${VALUE}${CORE.slice(2, 11)}`).hits).toBe(1);
  expect(scrub(`${CORE.slice(2, 11)}${CORE}`).hits).toBe(1);
  expect(scrub(Buffer.from(CORE.slice(0, 8)).toString("hex")).hits).toBe(1);
  // Hidden in a stretch too long to be looked at.
  expect(scrub(CORE.slice(0, 8).repeat(20_000), 4096).hits).toBe(1);
  expect(scrub(`7 bytes: ${CORE.slice(0, 7)} are no hit`).hits).toBe(0);
});

test("T67 after five pieces nothing more of the answer is shown, and nothing at all while the binding is suspended", () => {
  const guesses = Array.from({ length: 9 }, (_, at) => `<${CORE.slice(at, at + 8)}>`).join("");
  for (const size of [1, 5, 1000]) {
    const { shown, hits } = scrub(`${guesses} the rest ${guesses}`, size);
    expect([shown.toString(), hits]).toEqual([`${`<${REDACTED}>`.repeat(4)}<${REDACTED}${REDACTED}`, 5]);
  }
  const scrubber = createScrubber([{ key: KEY, value: VALUE }], { withhold: true });
  expect(scrubber.text("text/plain")).toBe(REDACTED);
  expect(run(scrubber, Buffer.from(`any ${CORE.slice(0, 8)} text`), 3).toString()).toBe(REDACTED);
  expect(run(createScrubber([{ key: KEY, value: VALUE }], { withhold: true }), Buffer.alloc(0), 3).toString()).toBe("");
});

test("headers: UTF-8 bytes shown as Latin-1, pieces, and the count", () => {
  const seen: string[] = [];
  const scrubber = createScrubber([{ key: KEY, value: "p\u00e4ssw\u00f6rd 12345" }], { onPartial: (key) => seen.push(key) });
  expect(scrubber.text(Buffer.from("x p\u00e4ssw\u00f6rd 12345 y").toString("latin1"))).toBe(`x ${REDACTED} y`);
  expect(scrubber.text("x p\u00e4ssw\u00f6rd 12345 y")).toBe(`x ${REDACTED} y`);
  expect(seen).toEqual([]);
  expect(scrubber.text("w\u00f6rd 12345")).toBe(REDACTED);
  expect([seen, scrubber.partialHits.get(KEY)]).toEqual([["TOKEN"], 1]);
});

test("several values, one a piece of another", () => {
  const { shown } = scrub("a 12345678 b 12345678abcdefgh c abcdefghij d", 3, ["12345678abcdefgh", "12345678", "abcdefghij"]);
  expect(shown.toString()).toBe(`a ${REDACTED} b ${REDACTED} c ${REDACTED} d`);
});

test("bodies without the value pass byte for byte", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.integer({ min: 1, max: 64 }), (body, size) => {
      expect(scrub(body, size).shown).toEqual(Buffer.from(body));
    }),
  );
});

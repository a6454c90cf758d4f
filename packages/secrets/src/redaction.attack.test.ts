import { randomBytes } from "node:crypto";
import type { SecretKey } from "@rumi/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LiveSecrets, REDACTED } from "./index.ts";
import { SPELLINGS, type Spelling } from "./testing/index.ts";

function live(...values: string[]): LiveSecrets {
  const secrets = new LiveSecrets();
  for (const [at, value] of values.entries()) secrets.set(`K${at}` as SecretKey, value);
  return secrets;
}

/** Values as operators have them, and as nobody has them. */
const value = fc
  .oneof(
    { weight: 3, arbitrary: fc.string({ minLength: 4, maxLength: 80 }) },
    { weight: 3, arbitrary: fc.string({ unit: "grapheme", minLength: 4, maxLength: 60 }) },
    {
      weight: 2,
      arbitrary: fc.string({ unit: fc.constantFrom(...Array.from("%\\&;#x41u0$^.*+?()[]{}|/\"'<> \n\t=")), minLength: 4, maxLength: 40 }),
    },
    { weight: 2, arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "é", "日", "😀"), minLength: 4, maxLength: 30 }) },
    { weight: 1, arbitrary: fc.integer({ min: 60, max: 150 }).map((size) => randomBytes(size).toString("base64")) },
  )
  .filter((text) => text.isWellFormed() && Buffer.byteLength(text) >= 4 && !REDACTED.includes(text));

/** What shows of `secret` in `shown`: itself, or a long piece. */
function leaks(shown: string | Uint8Array, spelt: string | Uint8Array): boolean {
  return Buffer.from(shown as string).includes(Buffer.from(spelt as string));
}

test.each(SPELLINGS)("a live value written as $name is masked", ({ write }) => {
  for (const secret of [
    'p"w/d+1 \u65e5\u672c',
    "ghp_0123456789abcdefghijABCDEFGHIJ",
    "a%41&amp;\\n'x'",
    '4&"b',
    "tr\u00e9s s\u00e9cret, \u00e9tonnant",
  ]) {
    const secrets = live(secret);
    const spelt = write(secret);
    const bytes = Buffer.concat([Buffer.from('{"a": "'), Buffer.from(spelt as string), Buffer.from('", "b": 1}')]);
    expect(leaks(secrets.redactBytes(bytes), spelt)).toBe(false);
    if (typeof spelt === "string") {
      const text = `{"a": "${spelt}", "b": 1}`;
      expect(secrets.holds(text)).toBe(true);
      expect(leaks(secrets.redact(text), spelt)).toBe(false);
    }
  }
});

/** Fails when `secrets` lets this value through, written as `spelling` says. */
function expectMasked(secrets: LiveSecrets, secret: string, { name, write }: Spelling): void {
  const spelt = write(secret);
  const bytes = Buffer.concat([Buffer.from("got <"), Buffer.from(spelt as string), Buffer.from("> from it")]);
  expect(leaks(secrets.redactBytes(bytes), spelt), name).toBe(false);
  if (typeof spelt === "string") expect(leaks(secrets.redact(bytes.toString()), spelt), name).toBe(false);
}

test("T68 10,000 live values, spelt in every way: none shows in a redacted text", () => {
  for (let batch = 0; batch < 20; batch++) {
    const values = fc.sample(value, 500);
    const secrets = live(...values);
    for (const [at, secret] of values.entries()) {
      for (const spelling of [SPELLINGS[0], SPELLINGS[at % SPELLINGS.length]])
        if (spelling !== undefined) expectMasked(secrets, secret, spelling);
    }
  }
});

test("T68 a few live values, each in every spelling", () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), (values) => {
      const secrets = live(...values);
      for (const secret of values) for (const spelling of SPELLINGS) expectMasked(secrets, secret, spelling);
    }),
    { numRuns: 100 },
  );
});

test("values that are pieces of each other, overlap or repeat are all masked", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 12, maxLength: 60 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 6 }),
      (text, cuts) => {
        const values = [text, ...cuts.map(([at, size]) => text.slice(at % 8, (at % 8) + 4 + (size % 12)))].filter((one) => one.length >= 4);
        const shown = live(...values).redact(`${values.join("")} ${values.toReversed().join("")}`);
        for (const one of values) expect(shown).not.toContain(one);
      },
    ),
    { numRuns: 500 },
  );
});

test("text without a live value stays as it is, lone surrogates and all", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), fc.array(value, { maxLength: 4 }), (text, values) => {
      const quiet = values.filter((one) => one.length > 12 && !text.includes(one));
      expect(live(...quiet).redact(text)).toBe(text);
    }),
  );
});

test("3,000 values live at once: each is masked, what stands between them is not", () => {
  const secrets = new LiveSecrets();
  const values = Array.from({ length: 3000 }, () => randomBytes(9).toString("base64"));
  for (const [at, one] of values.entries()) secrets.set(`K${at}` as SecretKey, one);
  const text = values.map((one, at) => `${at}:${one},`).join("");
  expect(secrets.redact(text)).toBe(values.map((_, at) => `${at}:${REDACTED},`).join(""));
});

test("a value of several lines is masked line by line", () => {
  const body = Array.from({ length: 5 }, () => randomBytes(24).toString("base64"));
  const secrets = live(["-----BEGIN PRIVATE KEY-----", ...body, "dGFpbA==", "-----END PRIVATE KEY-----", ""].join("\n"));
  for (const line of [...body, "dGFpbA=="]) expect(secrets.redact(`log: ${line}`)).toBe(`log: ${REDACTED}`);
});

test("a long value cut by a limit shows no more than its last few bytes", () => {
  const secret = randomBytes(30).toString("hex");
  const secrets = live(secret);
  const filler = "x ".repeat(1000);
  for (const kept of [59, 40, 24, 20, 12]) {
    expect(secrets.redact(filler + secret.slice(0, kept))).toBe(filler + REDACTED);
    expect(secrets.redact(secret.slice(-kept) + filler)).toBe(REDACTED + filler);
  }
});

test("an old value of a key stays masked", () => {
  const secrets = live("first value");
  secrets.set("K0" as SecretKey, "second value");
  expect(secrets.redact("first value, second value")).toBe(`${REDACTED}, ${REDACTED}`);
  for (let n = 0; n < 2000; n++) secrets.set("K0" as SecretKey, `value number ${n}`);
  expect(secrets.redact("value number 1999, value number 1998")).toBe(`${REDACTED}, ${REDACTED}`);
});

test("the largest value is masked whole", () => {
  const secret = randomBytes(48 * 1024).toString("base64");
  expect(live(secret).redact(`<${secret}>`)).toBe(`<${REDACTED}>`);
});

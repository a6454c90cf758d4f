import type { JsonObject, JsonValue } from "@rumi/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileExpression, expand } from "./expression.ts";
import { parseReference, resolveReference } from "./reference.ts";
import { parseTemplate } from "./template.ts";

function context(values: JsonObject): { get(key: string): JsonValue | undefined } {
  return { get: (key) => (Object.hasOwn(values, key) ? values[key] : undefined) };
}

function expanded(value: JsonValue, values: JsonObject): JsonValue {
  return expand(compileExpression(value), context(values));
}

test("F26 a whole reference keeps its type and a missing one is null", () => {
  for (const id of [5, [1, { a: 2 }], { k: "v" }, true, "text", null]) {
    expect(expanded("${ctx.u.id}", { u: { id } })).toEqual(id);
  }
  expect(expanded("${ctx.u.id}", {})).toBeNull();
  expect(expanded("${ctx.u.id}", { u: null })).toBeNull();
});

test("F27 an embedded reference prints text: missing is empty, a map compact JSON", () => {
  expect(expanded("Hi ${ctx.m}!", {})).toBe("Hi !");
  expect(expanded("Hi ${ctx.m}!", { m: { a: [1, "x"] } })).toBe('Hi {"a":[1,"x"]}!');
  expect(expanded("${ctx.n}/${ctx.t}/${ctx.s}", { n: 1.5, t: false, s: "z" })).toBe("1.5/false/z");
});

test("F28 $${ prints ${ and every other ${ is refused", () => {
  expect(expanded("$${ctx.a}", { a: 1 })).toBe("${ctx.a}");
  expect(expanded("$$${ctx.a}", { a: 1 })).toBe("$${ctx.a}");
  expect(expanded("$ 5 and $", {})).toBe("$ 5 and $");
  for (const text of [
    "${HOME}",
    "${ctx}",
    "${ctx.}",
    "${ctx.a",
    "${ ctx .a}",
    "${ctx[-1]}",
    "${ctx.a[01]}",
    "${ctx.a-b}",
    "${ctx..a}",
    "${ctx.1}",
    "${}",
    "a ${",
  ]) {
    expect(parseTemplate(text).ok, text).toBe(false);
  }
});

test("F29 text that came from data is never expanded", () => {
  expect(expanded({ a: "${ctx.said}", b: "x${ctx.said}" }, { said: "${ctx.secret}", secret: "s" })).toEqual({
    a: "${ctx.secret}",
    b: "x${ctx.secret}",
  });
});

test("F30 indexes and quoted keys read own data only", () => {
  const values = { l: [{ x: 1 }, { x: 2 }], "a-b": 7, x: { k: 1 }, s: "text", 'q"': 8 };
  expect(expanded("${ctx.l[1].x}", values)).toBe(2);
  expect(expanded('${ctx["a-b"]}', values)).toBe(7);
  expect(expanded("${ ctx[ 'q\\\"' ] }", values)).toBe(8);
  for (const text of [
    "${ctx.l.length}",
    "${ctx.x.constructor}",
    "${ctx.s[0]}",
    "${ctx.s.length}",
    "${ctx.x[0]}",
    "${ctx.l[9]}",
    '${ctx.l["0"]}',
    "${ctx.__proto__}",
    "${ctx.x.__proto__.a}",
    "${ctx.toString}",
  ]) {
    expect(expanded(text, values), text).toBeNull();
  }
  expect(parseReference("${ctx.l[-1]}").ok).toBe(false);
});

test("F31 an input that would grow over the limit is refused before it is built", () => {
  const big = "x".repeat(1024 * 1024);
  const text = "${ctx.big}${ctx.big}${ctx.big}${ctx.big}${ctx.big}";
  expect(() => expanded(text, { big })).toThrowError(expect.objectContaining({ code: "flow.input_too_large" }));
  expect(() =>
    expanded(
      [1, 2, 3, 4, 5].map(() => "${ctx.big}"),
      { big },
    ),
  ).toThrowError(expect.objectContaining({ code: "flow.input_too_large" }));
  expect(expanded("${ctx.big}${ctx.big}", { big })).toBe(big + big);
});

test("map keys and values without references are not touched or copied", () => {
  const literal = { "${ctx.a}": ["$x", 1] };
  expect(expanded(literal, { a: 1 })).toEqual(literal);
  const compiled = compileExpression({ list: [1, 2, 3] });
  expect(expand(compiled, context({}))).toBe(expand(compiled, context({})));
});

test("old spellings are text and are pointed out", () => {
  for (const text of ["$ctx.x", "{{x}}", "a {{ b }} c"])
    expect(parseTemplate(text)).toMatchObject({ ok: true, legacy: true, template: { kind: "literal", text } });
  expect(parseTemplate("{{ not closed")).toMatchObject({ ok: true, legacy: false });
});

const keys = fc.oneof(fc.constantFrom("a", "b_1", "constructor", "__proto__", "length", "toString"), fc.string({ maxLength: 5 }));
const members = fc.array(fc.oneof(keys, fc.nat(5)), { minLength: 1, maxLength: 5 }).filter((all) => typeof all[0] === "string");

test("any written path parses back to the same members, however its keys are quoted", () => {
  fc.assert(
    fc.property(members, fc.boolean(), (path, spaced) => {
      const blank = spaced ? " " : "";
      const written = path.map((member) => {
        if (typeof member === "number") return `[${blank}${member}${blank}]`;
        if (/^[A-Za-z_][A-Za-z0-9_]*$/u.test(member)) return `.${member}`;
        const quoted = Array.from({ length: member.length }, (_, at) => `\\u${member.charCodeAt(at).toString(16).padStart(4, "0")}`).join(
          "",
        );
        return `[${blank}"${quoted}"${blank}]`;
      });
      const parsed = parseReference(`\${${blank}ctx${written.join("")}${blank}}`);
      expect(parsed).toMatchObject({ ok: true, value: { members: path } });
    }),
  );
});

test("a reference finds exactly the own value at its path and nothing else", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), members, (value, path) => {
      const root = JSON.parse(JSON.stringify({ a: value, constructor: 1 })) as JsonObject;
      let expected: unknown = root;
      for (const member of path) {
        const isOwn =
          typeof expected === "object" &&
          expected !== null &&
          (Array.isArray(expected)
            ? typeof member === "number" && member < expected.length
            : typeof member === "string" && Object.hasOwn(expected, member));
        expected = isOwn ? (expected as Record<string | number, unknown>)[member] : undefined;
      }
      expect(resolveReference({ members: path }, context(root))).toEqual(expected);
    }),
  );
});

test("templates of any text either parse or name a place inside the text", () => {
  fc.assert(
    fc.property(
      fc
        .array(fc.constantFrom("${", "$", "{", "}", "ctx", ".a", "[0]", "['k']", "$${", " ", "x", "\\", '"'))
        .map((parts) => parts.join("")),
      (text) => {
        const parsed = parseTemplate(text);
        if (!parsed.ok) {
          expect(parsed.fault.offset).toBeGreaterThanOrEqual(0);
          expect(parsed.fault.offset).toBeLessThanOrEqual(text.length);
        } else if (!text.includes("${")) expect(parsed.template).toEqual({ kind: "literal", text });
      },
    ),
  );
});

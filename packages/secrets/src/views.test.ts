import fc from "fast-check";
import { expect, test } from "vitest";
import { viewsOf } from "./views.ts";

const text = fc.string({
  unit: fc.constantFrom(
    "a",
    "b",
    "%",
    "%41",
    "%u00e9",
    "\\",
    "\\n",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\x41",
    "&",
    "&amp;",
    "&#65;",
    "&#x1F600;",
    "\u65e5",
    "\\\\u0041",
    "%2541",
  ),
  maxLength: 30,
});

test("each place of a view leads back to the text that it was read from", () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 60 }), fc.boolean(), (raw, reach, whole) => {
      const bytes = Buffer.from(raw);
      for (const view of viewsOf(bytes, bytes.length, { whole, reach, few: false })) {
        expect(view.length).toBeLessThanOrEqual(bytes.length + 1);
        const wrong: number[] = [];
        let last = 0;
        for (let at = 0; at < view.length; at++) {
          const [start, end] = [view.rawStart(at), view.rawEnd(at)];
          const inOrder = start >= last && end > start && end <= bytes.length && view.wholeEscape(start) === start;
          // What stands for itself stands where it says; 0xff is a mark for text left out.
          const itself = end > start + 1 || view.bytes[at] === 0xff || view.bytes[at] === bytes[start];
          if (!inOrder || !itself) wrong.push(at);
          last = start;
        }
        for (let place = 0; place <= bytes.length; place++) if (view.wholeEscape(place) > place) wrong.push(place);
        expect(wrong).toEqual([]);
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["a%41b", "aAb"],
  ["%u00e9%uD83D%uDE00", "\u00e9\u{1f600}"],
  ['\\u0041\\ud83d\\ude00\\x42\\n\\/\\"', 'A\u{1f600}B\n/"'],
  ["\\u{1F600}\\U0001F600", "\u{1f600}\u{1f600}"],
  ["&amp;&lt;&#65;&#x41;&quot;&apos;", "&<AA\"'"],
  ["\\u0026amp;", "&"],
  ["%255Cu0041", "\\u0041"],
])("%s is also read as %s", (raw, read) => {
  const bytes = Buffer.from(raw);
  const views = [...viewsOf(bytes, bytes.length, { whole: true, reach: 100, few: false })];
  expect(views.map((view) => Buffer.from(view.bytes.subarray(0, view.length)).toString())).toContain(read);
});

test.each(["50% off", "a & b", "C:\\", "%zz", "&nothing;", "\\q", "&#;", "%u12", "\\u12"])("%s has no other view", (raw) => {
  const bytes = Buffer.from(raw);
  expect([...viewsOf(bytes, bytes.length, { whole: true, reach: 100, few: false })]).toHaveLength(1);
});

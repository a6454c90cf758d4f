import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planBlockFile, runtimeOf } from "./block-file.ts";

const listing = (...paths: string[]): { paths: ReadonlySet<string> } => ({ paths: new Set(paths) });

describe("the file of a block", () => {
  test("X1 is the first of root, backend, blocks and backend/blocks", () => {
    const places = ["hello.py", "backend/hello.py", "blocks/hello.py", "backend/blocks/hello.py"];
    for (let first = 0; first < places.length; first += 1) {
      const plan = planBlockFile(listing(...places.slice(first)), "", "hello.py");
      expect(plan).toEqual({ ok: true, path: places[first], runtime: "python" });
    }
  });

  test("X1 is looked for below the folder of the manifest", () => {
    expect(planBlockFile(listing("blocks/hello.py", "backend/blocks/hello.py"), "backend", "blocks/hello.py")).toEqual({
      ok: true,
      path: "backend/blocks/hello.py",
      runtime: "python",
    });
    expect(planBlockFile(listing("hello.py"), "backend", "hello.py")).toMatchObject({ ok: false, code: "not_found" });
  });

  test("X1 is not found when nothing is in the list", () => {
    const plan = planBlockFile(listing("blocks/other.py"), "", "hello.py");
    expect(plan).toMatchObject({ ok: false, code: "not_found" });
    expect(plan.ok ? "" : plan.message).toContain("backend/blocks/hello.py");
  });

  test.each([
    "../x.py",
    "a/../x.py",
    "/x.py",
    "a\\b.py",
    "a\0.py",
    "a\n.py",
    "./x.py",
    "a//x.py",
    "x.py/",
    "C:x.py",
    "c:/x.py",
    "",
    "\ud800.py",
    `${"a".repeat(510)}.py`,
    "\u009b.py",
  ])("X2 the path %j is refused", (file) => {
    expect(planBlockFile(listing(file, "x.py"), "", file)).toMatchObject({ ok: false, code: "path_rejected" });
  });

  test("X2 the wrong case is another file", () => {
    expect(planBlockFile(listing("blocks/hello.py"), "", "blocks/Hello.py")).toMatchObject({ ok: false, code: "not_found" });
    expect(planBlockFile(listing("hello.PY"), "", "hello.PY")).toMatchObject({ ok: false, code: "unsupported_extension" });
  });

  test("X3 the extension alone names the runtime", () => {
    expect(runtimeOf("a.py")).toBe("python");
    for (const extension of ["js", "mjs", "cjs", "ts", "mts", "cts"]) expect(runtimeOf(`blocks/a.${extension}`)).toBe("node");
    for (const file of ["a.sh", "a", "py", ".py/a", "a.pyc"]) expect(runtimeOf(file)).toBeNull();
    expect(planBlockFile(listing("a.sh"), "", "a.sh")).toMatchObject({ ok: false, code: "unsupported_extension" });
  });

  test("whatever is asked for, the answer is a member of the list", () => {
    const paths = listing("a.py", "backend/a.py", "blocks/b.ts", "backend/blocks/c.js");
    const part = fc.constantFrom("..", ".", "", "a.py", "b.ts", "c.js", "blocks", "backend", "\\", "\0");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.constantFrom("", "backend"), (parts, subdir) => {
        const plan = planBlockFile(paths, subdir, parts.join("/"));
        expect(!plan.ok || paths.paths.has(plan.path)).toBe(true);
      }),
    );
  });
});

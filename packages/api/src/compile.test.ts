import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";

const SRC = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(SRC, "..", "..", "..");

/** What the compiler says of one file that imports this package's sources as `./<name>.ts`. */
async function compile(source: string): Promise<string> {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "planted.mts"), source.replaceAll('from "./', `from "${SRC}`));
  const options = {
    composite: false,
    declaration: false,
    declarationMap: false,
    noEmit: true,
    rewriteRelativeImportExtensions: false,
    typeRoots: [join(ROOT, "node_modules/@types")],
  };
  const resolve = { paths: { "@rumi/*": [join(ROOT, "packages/*/src/index.ts")] } };
  const config = { extends: join(ROOT, "tsconfig.base.json"), compilerOptions: { ...options, ...resolve }, files: ["planted.mts"] };
  await writeFile(join(folder.path, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const run = promisify(execFile)(tsc, ["-p", folder.path], { cwd: folder.path });
  const output = await run.then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
  );
  return output
    .split("\n")
    .filter((line) => /^(?:planted\.mts|\s+\S)/u.test(line))
    .join("\n");
}

const ROUTE = (scope: string): string => `
import { Nothing, route } from "./route.ts";
export const planted = route({ name: "x", method: "GET", path: "/x", ${scope} summary: "x", verb: "x", data: Nothing, handler: () => ({}) });
`;

test("a route without a scope, or with one there is not, does not compile", async () => {
  expect(await compile(ROUTE('scope: "read",'))).toBe("");
  expect(await compile(ROUTE(""))).toContain("scope");
  expect(await compile(ROUTE('scope: "root",'))).toContain("root");
});

test("H19 a code without a status does not compile", async () => {
  const table = await readFile(join(SRC, "codes.ts"), "utf8");
  expect(await compile(table)).toBe("");
  const codes = ["flow.too_many_runs", "approval.digest_moved", "sandbox.busy"];
  const lines = table.split("\n");
  const without = lines.filter((line) => !codes.some((code) => line.startsWith(`  "${code}": `)));
  expect(without.length).toBe(lines.length - codes.length);
  const complaint = await compile(without.join("\n"));
  for (const code of codes) expect(complaint).toContain(code);
});

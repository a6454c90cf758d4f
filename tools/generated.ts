import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";

/**
 * Writes the generated file `path`; with `--check` on the command line it only compares, and exits 1 when they differ.
 * Every `tools/<x>/generate.ts` ends in it.
 */
export function writeGenerated(path: string, text: string): void {
  if (!process.argv.includes("--check")) {
    writeFileSync(path, text);
    return;
  }
  if (readOrNull(path) === text) return;
  console.error(`${relative(process.cwd(), path)} is not what its generator makes.`);
  process.exitCode = 1;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

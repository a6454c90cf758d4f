import { readdir, readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";

/** `text` without what a formatter may change: blanks and last commas. */
export function unformatted(text: string): string {
  return text.replace(/\s+/gu, "").replace(/,([)\]}])/gu, "$1");
}

/**
 * The SDK as the sandbox sees it: file name to text, plain JavaScript made of `sourceFolder` by blanking out the types.
 * `packages/runner/programs/node/pack-sdk` holds this, formatted.
 */
export async function createPackSdkCopy(sourceFolder: string): Promise<Map<string, string>> {
  const copy = new Map<string, string>();
  for (const name of (await readdir(sourceFolder)).sort()) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts")) continue;
    const code = stripTypeScriptTypes(await readFile(join(sourceFolder, name), "utf8"), { mode: "strip" });
    const lines = code.replace(/(from "\.\/[a-z-]+)\.ts"/gu, '$1.mjs"').split("\n");
    const text = lines
      .map((line) => line.trimEnd())
      .join("\n")
      .replace(/^\n+/u, "")
      .replace(/\n{3,}/gu, "\n\n");
    if (/\b(?:import|export|const|function)\b/u.test(text)) copy.set(name.replace(/\.ts$/u, ".mjs"), text);
  }
  return copy;
}

import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Name endings of the files that a scan looks for. */
const FLOW_FILE = ".flow.yaml";
const MODIFIER_FILE = ".modifier.yaml";
/** Folder below a scan root that holds modifiers, never flows. Source: page "Flows", section 2. */
const MODIFIERS = "modifiers";
/** Deepest folder that is looked into. */
const MAX_DEPTH = 16;

/**
 * Flow files below `root`, relative, in the order of their paths. Links are not followed; `recursive: false` looks at
 * the folder itself only. A missing folder holds none.
 */
export function listFlowFiles(root: string, options: { readonly recursive?: boolean } = {}): Promise<string[]> {
  return list(root, FLOW_FILE, { depth: options.recursive === false ? 0 : MAX_DEPTH, besides: MODIFIERS });
}

/** Modifier files in the `modifiers` folder of a scan root, relative to the root. */
export async function listModifierFiles(root: string): Promise<string[]> {
  const found = await list(join(root, MODIFIERS), MODIFIER_FILE, { depth: MAX_DEPTH, besides: null });
  return found.map((file) => `${MODIFIERS}/${file}`);
}

async function list(root: string, ending: string, within: { readonly depth: number; readonly besides: string | null }): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string, prefix: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const relative = `${prefix}${entry.name}`;
      if (entry.isFile() && entry.name.endsWith(ending)) found.push(relative);
      else if (entry.isDirectory() && entry.name !== within.besides && depth < within.depth) {
        await walk(join(folder, entry.name), `${relative}/`, depth + 1);
      }
    }
  };
  await walk(root, "", 0);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** Text of a flow file, or why it is none. Reads at most one byte more than `maxBytes`, so that the size rule can tell. */
export async function readFlowText(path: string, maxBytes: number): Promise<{ readonly text: string } | { readonly unreadable: string }> {
  const file = await open(path, "r").catch(() => null);
  if (file === null) return { unreadable: "it cannot be opened" };
  try {
    if (!(await file.stat()).isFile()) return { unreadable: "it is not a regular file" };
    const buffer = new Uint8Array(maxBytes + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(buffer.subarray(0, length)) };
  } catch {
    return { unreadable: "it is not UTF-8 text" };
  } finally {
    await file.close();
  }
}

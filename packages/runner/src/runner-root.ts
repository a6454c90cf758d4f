import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The absolute folder that adapters mount read-only at `/runner`.
 * It holds `python/main.py` and `node/main.mjs`: plain files, no build, no dependency.
 */
export function runnerRoot(): string {
  return `${dirname(dirname(fileURLToPath(import.meta.url)))}/programs`;
}

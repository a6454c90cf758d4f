// One preparation at a time in a checkout: `npm start` and `npm test` may be typed at once.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;

/** True when a process of this id lives. @param {number} pid */
export function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Waits for our turn to prepare `root`. A turn whose holder died is taken over.
 * @param {string} root @param {() => void} onWait called once when another holds it
 * @returns {Promise<() => void>} gives the turn back
 */
export async function takeTurn(root, onWait) {
  const folder = join(root, ".toolchain", "busy");
  const owner = join(folder, "pid");
  mkdirSync(join(root, ".toolchain"), { recursive: true });
  let waited = false;
  let nameless = 0;
  for (;;) {
    try {
      mkdirSync(folder);
      writeFileSync(owner, String(process.pid));
      return () => rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    const pid = readPid(owner);
    // Between mkdir and the pid there is an instant without a name; five polls without one is a holder that died there.
    nameless = pid === null ? nameless + 1 : 0;
    if ((pid !== null && !isAlive(pid)) || nameless > 5) {
      rmSync(folder, { recursive: true, force: true });
      continue;
    }
    if (!waited) onWait();
    waited = true;
    await sleep(POLL_MS);
  }
}

/** @param {string} path @returns {number | null} */
function readPid(path) {
  try {
    const text = readFileSync(path, "utf8");
    return text === "" ? null : Number(text);
  } catch {
    return null;
  }
}

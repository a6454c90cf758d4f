// Is bubblewrap here, so that the isolation tests can run?
import { spawnSync } from "node:child_process";

/** What stands between this machine and the isolation tests; null when nothing does. @returns {Promise<string | null>} */
export function whyNoBubblewrap() {
  const asked = spawnSync("bwrap", ["--version"], { stdio: "ignore" });
  return Promise.resolve(asked.status === 0 ? null : "bubblewrap is not installed");
}

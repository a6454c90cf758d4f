// Does bubblewrap work here, so that the isolation tests can run?
import { spawnSync } from "node:child_process";

/** What stands between this machine and the isolation tests; null when nothing does. @returns {Promise<string | null>} */
export function whyNoBubblewrap() {
  const asked = spawnSync("bwrap", ["--version"], { stdio: "ignore" });
  if (asked.status !== 0) return Promise.resolve("bubblewrap is not installed");
  const tried = spawnSync("bwrap", ["--unshare-all", "--ro-bind", "/", "/", "true"], { encoding: "utf8", timeout: 10_000 });
  return Promise.resolve(tried.status === 0 ? null : `bubblewrap cannot make a sandbox here (${tried.stderr.trim().slice(0, 200)})`);
}

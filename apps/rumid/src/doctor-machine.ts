import { lstat, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { lockHome } from "@rumi/safe-files";
import { RumiError } from "@rumi/core";
import type { Config } from "./config.ts";
import { diskShare, DISK_DEGRADED_SHARE } from "./daemon-state.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import type { HomePaths } from "./home.ts";

/** Oldest Node that runs the daemon. Source: decision 1.1. */
const OLDEST_NODE = 24;
/** From here new runs are refused. Source: page "HTTP, command line, operations", section 6. */
const DISK_FULL_SHARE = 0.95;

/** Node, disk, lock, port, settings: what needs no laid-out home. */
export async function machineChecks(config: Config, paths: HomePaths): Promise<Finding[]> {
  const holder = await holderOf(paths);
  return [
    Number(process.versions.node.split(".")[0]) >= OLDEST_NODE
      ? ok("node", `Node ${process.versions.node}`)
      : fail("node", `Node ${process.versions.node} is older than ${OLDEST_NODE}`, "npm start (fetches the right Node)"),
    ...config.warnings.map((warning) => warn("settings", warning)),
    await diskFinding(paths),
    ok(
      "lock",
      holder === null
        ? "no daemon uses this home"
        : `the daemon with pid ${holder.pid ?? "?"} uses this home${holder.url === null ? "" : ` (${holder.url})`}`,
    ),
    holder === null ? await portFinding(config) : ok("port", `${holder.url ?? "the daemon's"} is in use by the daemon`),
  ];
}

/** Who holds the home now, or null. A home that is not laid out is held by nobody; none is made. */
export async function holderOf(paths: HomePaths): Promise<{ readonly pid: number | null; readonly url: string | null } | null> {
  if (
    !(await lstat(paths.settings).then(
      () => true,
      () => false,
    ))
  )
    return null;
  const before = await readFile(`${paths.settings}/.lock.json`, "utf8").catch(() => null);
  try {
    const lock = await lockHome(paths.userData, { pid: process.pid });
    // The file tells of the last holder: it is put back, for nothing here may change a home.
    if (before !== null) await lock.announce(JSON.parse(before) as { pid: number; url?: string });
    await lock[Symbol.asyncDispose]();
    return null;
  } catch (cause) {
    if (!(cause instanceof RumiError) || cause.code !== "safe_files.locked_by") return null;
    const { pid, url } = cause.details;
    return { pid: typeof pid === "number" ? pid : null, url: typeof url === "string" ? url : null };
  }
}

async function diskFinding(paths: HomePaths): Promise<Finding> {
  const share = await diskShare(
    await lstat(paths.userData).then(
      () => paths.userData,
      () => paths.home,
    ),
  );
  const text = `${Math.round(share * 100)} % of the disk is used`;
  if (share >= DISK_FULL_SHARE) return fail("disk", text, "free some space: df -h .");
  return share >= DISK_DEGRADED_SHARE ? warn("disk", text, "free some space: df -h .") : ok("disk", text);
}

async function portFinding({ api }: Config): Promise<Finding> {
  if (api.port === 0) return ok("port", "any free port");
  const code = await new Promise<string | null>((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen({ host: api.address, port: api.port }, () => server.close(() => resolve(null)));
  });
  return code === null
    ? ok("port", `${api.address}:${api.port} is free`)
    : fail("port", `${api.address}:${api.port} cannot be bound (${code})`, "RUMI_API_PORT=0 npm start");
}

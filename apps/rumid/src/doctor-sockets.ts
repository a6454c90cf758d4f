import { lstat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { RumiError, systemRandom } from "@rumi/core";
import { SocketFolder } from "@rumi/sandbox";
import type { Config } from "./config.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { chooseSocketBase } from "./socket-base.ts";

/** Longest wait for the trial's own byte. */
const TRIAL_MS = 2000;

const KINDS = [
  { kind: "capability", setting: "RUMI_CAPABILITY" },
  { kind: "egress", setting: "RUMI_EGRESS" },
] as const;

/** The folders that instances' sockets lie in, who may connect, and a byte through one of each kind. */
export async function socketFindings(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  const bases = new Map<string, string>();
  for (const { kind, setting } of KINDS) {
    const { base: configured, gid, mode } = config.sockets[kind];
    if (configured !== null) {
      const fault = await folderFault(configured, `${setting}_SOCK_DIR`);
      if (fault !== null) {
        findings.push(fault);
        continue;
      }
    }
    if (mode === "0666" && gid !== null)
      findings.push(warn("modes", `${setting}_SOCKET_MODE=0666 opens the sockets wider than their group`, `unset ${setting}_SOCKET_MODE`));
    try {
      const wishes = { kind, configured, runtimeFolder: config.runtimeFolder, installation: systemRandom.hex(16) };
      bases.set(kind, await chooseSocketBase(wishes));
    } catch (cause) {
      findings.push(fail("modes", cause instanceof Error ? cause.message : "no folder for sockets", `set ${setting}_SOCK_DIR`));
    }
  }
  if (bases.get("capability") !== undefined && bases.get("capability") === bases.get("egress"))
    findings.push(fail("modes", "both kinds of sockets lie in one folder", "unset RUMI_EGRESS_SOCK_DIR"));
  for (const { kind, setting } of KINDS) {
    const base = bases.get(kind);
    if (base !== undefined) findings.push(await roundTrip(kind, setting, base, config.sockets[kind]));
  }
  return findings;
}

/** Why a configured folder is not used; one that is not there yet is made at the start. */
async function folderFault(path: string, setting: string): Promise<Finding | null> {
  const stats = await lstat(path).catch(() => null);
  if (stats === null) return null;
  if (!stats.isDirectory()) return fail("modes", `${setting} names no folder, or a link to one`, `unset ${setting}`);
  if (stats.uid !== process.getuid?.())
    return fail("modes", `the folder of ${setting} is another user's`, `sudo chown $(id -u) "$${setting}"`);
  if ((stats.mode & 0o077) !== 0) return fail("modes", `others may enter the folder of ${setting}`, `chmod 700 "$${setting}"`, true);
  return null;
}

async function roundTrip(
  kind: (typeof KINDS)[number]["kind"],
  setting: string,
  base: string,
  { gid, mode }: Config["sockets"]["capability"],
): Promise<Finding> {
  const name = `${kind}.sock`;
  const rights = {
    ...(gid === null ? {} : { gid }),
    ...(mode === null ? {} : { mode: mode === "0666" ? (0o666 as const) : (0o660 as const) }),
  };
  try {
    await using folder = await SocketFolder.create(base, systemRandom.hex(16), name, rights);
    const server = createServer((socket) => socket.on("error", () => undefined).pipe(socket));
    try {
      await folder.listen(name, server);
      const started = performance.now();
      await echo(join(folder.path, name));
      const who = gid === null ? "behind a folder of this user alone" : `for group ${gid}`;
      return ok("socket_round_trip", `${kind} socket and back: ${(performance.now() - started).toFixed(2)} ms, ${who}`);
    } finally {
      server.close();
    }
  } catch (cause) {
    const text =
      cause instanceof Error
        ? cause instanceof RumiError
          ? cause.message
          : ((cause as NodeJS.ErrnoException).code ?? cause.message)
        : "failed";
    const group = gid !== null && text === "EPERM";
    return fail(
      "socket_round_trip",
      group ? `this user may not give the ${kind} socket to group ${gid}` : `the ${kind} socket does not work: ${text}`,
      group ? `sudo usermod -aG ${gid} $(id -un)` : `set ${setting}_SOCK_DIR to a short path of this user, mode 0700`,
    );
  }
}

/** One byte there and back. */
function echo(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.setTimeout(TRIAL_MS, () => socket.destroy(new Error("no answer")));
    socket.once("error", reject);
    socket.once("data", () => {
      socket.destroy();
      resolve();
    });
    socket.write("x");
  });
}

import type { InstanceSpec, Mount } from "@rumi/sandbox";
import {
  instanceEnvironment,
  MAX_OPEN_FILES,
  RUNNER_COMMAND,
  RUNNER_TARGET,
  SANDBOX_ID,
  SHM_BYTES,
  SOCKET_TARGET,
  TMP_INODES,
} from "@rumi/sandbox";
import { CGROUP_ROOT, OWN_COUNTER } from "./ports.ts";
import type { InstanceCgroup } from "./ports.ts";

/** Descriptor on which the launcher hands the filter program over. */
export const SECCOMP_FD = 3;

/**
 * Runs in a mount namespace of its own before bubblewrap: joins the control group, shows what is mounted under short public
 * names (the real folders lie behind folders that only the daemon may enter), with `/tmp` and `/dev/shm` of the exact options
 * bubblewrap has no words for, and becomes the command. Constant: everything else comes as arguments, never as text. All
 * mounts are made by one `mount -a`, because each start of a program costs more than a mount.
 */
const STAGE = `
set -eu
umask 022
stage=$1 table=$2 folders=$3 files=$4 counter=$5
shift 5
ulimit -c 0
ulimit -n ${String(MAX_OPEN_FILES)}
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done
shift
mount -t tmpfs -o mode=0755,nosuid,nodev,noexec,size=1m stage "$stage"
cd "$stage"
printf '%s' "$table" > table
mkdir $folders
for file in $files; do : > "$file"; done
if [ "$counter" = self ]; then
  mount --bind "${CGROUP_ROOT}$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.events" counter
fi
mount -a -T table
rm table
cd /
exec "$@"
`;

/** Where the stage appears. Inside the namespace of the stage only; bubblewrap then has its own `/tmp`. */
const SHOWN = "/tmp";

/** Devices inside; no terminal. */
const DEVICES = ["null", "zero", "full", "random", "urandom"];

/** Files and folders of the kernel that say too much of the host. */
export const MASKED_FILES = [
  "kcore",
  "keys",
  "key-users",
  "kallsyms",
  "latency_stats",
  "timer_list",
  "timer_stats",
  "sched_debug",
  "cmdline",
  "config.gz",
];
export const MASKED_FOLDERS = ["acpi", "asound", "pressure", "scsi"];

/** Facts of the host that shape a launch. */
export interface LaunchHost {
  readonly bwrap: string;
  /** The daemon is root: it gives its rights up before bubblewrap starts. */
  readonly isRoot: boolean;
  /** bubblewrap can forbid further user namespaces (0.8 and later). */
  readonly canDisableUserns: boolean;
  /** Names of `MASKED_FILES` and `MASKED_FOLDERS` that this kernel has. */
  readonly masked: readonly string[];
}

/** What an instance is launched from, beside its spec. */
export interface LaunchPlace {
  /** An empty folder of the daemon, covered in the launcher's own namespace. */
  readonly stage: string;
  /** Unpacked root of the runtime. */
  readonly root: string;
  readonly runnerRoot: string;
  readonly runnerSockets: string;
  readonly socketGids: readonly number[];
  readonly cgroup: Pick<InstanceCgroup, "joinFiles" | "oomCounter" | "prefix">;
  /** Sources among the spec's mounts that are files. */
  readonly fileSources: ReadonlySet<string>;
}

/** A command of the host. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Something of the host under a short public name. */
interface Shown {
  readonly name: string;
  readonly kind: "folder" | "file";
  /** A folder or file of the host, or the options of a `tmpfs`. */
  readonly from: { readonly path: string } | { readonly tmpfs: string };
}

/** The one command that starts an instance: every wall, nothing else. Pure; equal input gives equal output. */
export function createLaunch(spec: InstanceSpec, place: LaunchPlace, host: LaunchHost): Command {
  const mounts: Mount[] = [
    ...spec.mounts,
    { source: place.runnerRoot, target: RUNNER_TARGET, read_only: true },
    { source: place.runnerSockets, target: `${SOCKET_TARGET}/runner`, read_only: true },
    ...Object.entries(spec.sockets).map(([name, source]) => ({ source, target: `${SOCKET_TARGET}/${name}`, read_only: true })),
  ];
  const shown: Shown[] = [
    { name: "root", kind: "folder", from: { path: place.root } },
    { name: "tmp", kind: "folder", from: { tmpfs: `size=${String(spec.limits.tmp_bytes)},nr_inodes=${String(TMP_INODES)}` } },
    { name: "shm", kind: "folder", from: { tmpfs: `size=${String(SHM_BYTES)}` } },
    ...mounts.map(({ source }, index): Shown => ({
      name: `m${String(index)}`,
      kind: place.fileSources.has(source) ? "file" : "folder",
      from: { path: source },
    })),
  ];
  const [program = "", ...args] = RUNNER_COMMAND[spec.runtime];
  const inner = [
    ...walls(host),
    ...Object.entries(instanceEnvironment(spec)).flatMap(([name, value]) => ["--setenv", name, value]),
    ...rootArguments(host.masked),
    ...mounts.flatMap(({ target, read_only }, index) => [read_only ? "--ro-bind" : "--bind", `${SHOWN}/m${String(index)}`, target]),
    ...(place.cgroup.oomCounter === null ? [] : ["--ro-bind", `${SHOWN}/counter`, place.cgroup.oomCounter.target]),
    ...["--remount-ro", "/", "--chdir", "/"],
    ...["--seccomp", String(SECCOMP_FD), "--", `/usr/bin/${program}`, ...args],
  ];
  return stageCommand(shown, [host.bwrap, ...inner], place, host);
}

/** The same walls around nothing: shows what this machine allows. Pure. */
export function createTrial(place: Pick<LaunchPlace, "stage" | "cgroup">, host: LaunchHost): Command {
  const shown: Shown[] = [{ name: "tmp", kind: "folder", from: { tmpfs: "size=4k" } }];
  const inner = ["--ro-bind", "/", "/", "--proc", "/proc", "--bind", `${SHOWN}/tmp`, "/tmp"];
  const command = [host.bwrap, ...walls(host), ...inner, "--seccomp", String(SECCOMP_FD), "--", "/bin/sh", "-c", ":"];
  return stageCommand(shown, command, { ...place, socketGids: [] }, host);
}

function stageCommand(
  shown: readonly Shown[],
  command: readonly string[],
  place: Pick<LaunchPlace, "stage" | "cgroup" | "socketGids">,
  host: LaunchHost,
): Command {
  const groups = place.socketGids.length === 0 ? ["--clear-groups"] : ["--groups", place.socketGids.join(",")];
  const id = String(SANDBOX_ID);
  const asNobody = host.isRoot ? ["setpriv", "--reuid", id, "--regid", id, ...groups, "--no-new-privs", "--"] : [];
  const { oomCounter } = place.cgroup;
  const counter: Shown[] = oomCounter === null ? [] : [{ name: "counter", kind: "file", from: { path: oomCounter.source } }];
  const all = [...shown, ...counter];
  const known = oomCounter?.source === OWN_COUNTER ? shown : all;
  const names = (kind: Shown["kind"]): string => all.flatMap((one) => (one.kind === kind ? [one.name] : [])).join(" ");
  const words = [
    ...place.cgroup.prefix,
    ...["unshare", ...(host.isRoot ? [] : ["--user", "--map-root-user"]), "--mount", "--propagation", "private"],
    ...["/bin/sh", "-c", STAGE, "rumi-stage", place.stage, mountTable(known, place.stage), names("folder"), names("file")],
    ...[oomCounter?.source === OWN_COUNTER ? "self" : "", ...place.cgroup.joinFiles, "--", ...asNobody, ...command],
  ];
  return { file: words[0] ?? "", args: words.slice(1) };
}

/** The mounts as `fstab` has them; the last one shows the stage. */
function mountTable(shown: readonly Shown[], stage: string): string {
  const lines = shown.map(({ name, from }) =>
    "tmpfs" in from
      ? ["tmpfs", `${stage}/${name}`, "tmpfs", `noexec,nosuid,nodev,mode=1777,${from.tmpfs}`]
      : [from.path, `${stage}/${name}`, "none", "bind"],
  );
  return [...lines, [stage, SHOWN, "none", "rbind"]].map((words) => `${words.map(escapeWord).join(" ")} 0 0\n`).join("");
}

/** A word of an `fstab`: what would end it is written as its number. */
function escapeWord(word: string): string {
  return word.replace(/[\s\\#]/gu, (sign) => `\\${sign.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function walls(host: LaunchHost): string[] {
  return [
    ...["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"],
    ...["--uid", String(SANDBOX_ID), "--gid", String(SANDBOX_ID), ...(host.canDisableUserns ? ["--disable-userns"] : [])],
    ...["--hostname", "sandbox", "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"],
  ];
}

/** Everything inside but the mounts of the spec: the interpreter's root, the kernel's own file systems, `/tmp`. */
function rootArguments(masked: readonly string[]): string[] {
  return [
    ...["bin", "lib", "share"].flatMap((part) => ["--ro-bind", `${SHOWN}/root/${part}`, `/usr/${part}`]),
    ...["--ro-bind", `${SHOWN}/root/etc`, "/etc"],
    ...["--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib", "/lib64", "--symlink", "lib", "/usr/lib64"],
    ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"],
    ...MASKED_FILES.filter((name) => masked.includes(name)).flatMap((name) => ["--ro-bind", "/dev/null", `/proc/${name}`]),
    ...MASKED_FOLDERS.filter((name) => masked.includes(name)).flatMap((name) => [
      "--tmpfs",
      `/proc/${name}`,
      "--remount-ro",
      `/proc/${name}`,
    ]),
    ...["--tmpfs", "/dev"],
    ...DEVICES.flatMap((name) => ["--dev-bind", `/dev/${name}`, `/dev/${name}`]),
    ...["--symlink", "/proc/self/fd", "/dev/fd", "--symlink", "/proc/self/fd/0", "/dev/stdin"],
    ...["--symlink", "/proc/self/fd/1", "/dev/stdout", "--symlink", "/proc/self/fd/2", "/dev/stderr"],
    ...["--dir", "/dev/shm", "--bind", `${SHOWN}/shm`, "/dev/shm", "--remount-ro", "/dev"],
    ...["--bind", `${SHOWN}/tmp`, "/tmp"],
  ];
}

import { MIB } from "@rumi/core";
import type { InstanceLimits, InstanceSpec, JobSpec, Mount, Runtime } from "@rumi/sandbox";
import { SandboxError, SOCKET_TARGET } from "@rumi/sandbox";
import { instanceLabels, jobLabels } from "./labels.ts";
import { SECCOMP_PROFILE } from "./seccomp.ts";

/** The user inside: nobody, of no group but the sockets'. */
export const SANDBOX_USER = "65534:65534";

/** Most files in `/tmp`. Source: page "Execution", section 4. */
const TMP_INODES = 16_384;

/** Bytes of `/dev/shm`. Source: page "Execution", section 4. */
const SHM_BYTES = 16 * MIB;

/** Open files of one process. Source: page "Execution", section 4. */
const MAX_OPEN_FILES = 256;

/** The search path inside. */
const PATH = "/usr/local/bin:/usr/bin:/bin";

/** The runner's socket inside. */
const RUNNER_SOCKET_PATH = `${SOCKET_TARGET}/runner/runner.sock`;

/** What is PID 1. `-I -S -B`: nothing of the environment, of site folders or of `__pycache__` steers the interpreter. */
const COMMAND: Readonly<Record<Runtime, readonly string[]>> = {
  python: ["python3", "-I", "-S", "-B", "/runner/python/main.py", RUNNER_SOCKET_PATH],
  node: ["node", "/runner/node/main.mjs", RUNNER_SOCKET_PATH],
};

/** What the daemon adds to a spec: all of it from its own settings, nothing from a pack. */
export interface ContainerPlace {
  readonly installation: string;
  /** Content id of the image: a name could move between two starts. */
  readonly imageId: string;
  /** Names the image would put into the environment: they are taken out again. */
  readonly imageEnvNames: readonly string[];
  readonly runnerRoot: string;
  /** Host folder of this instance's runner socket. */
  readonly runnerSockets: string;
  readonly ociRuntime?: string | undefined;
  readonly socketGids: readonly number[];
}

/** One entry of `HostConfig.Mounts`. Never `Binds`: those make a missing folder instead of failing. */
interface BindMount {
  readonly Type: "bind";
  readonly Source: string;
  readonly Target: string;
  readonly ReadOnly: boolean;
  readonly BindOptions: { readonly Propagation: "rprivate" };
}

/** The engine's create call, complete. */
export interface ContainerBody {
  readonly Image: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly User: string;
  readonly Hostname: string;
  readonly Tty: false;
  readonly OpenStdin: false;
  readonly AttachStdin: false;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly Healthcheck: { readonly Test: readonly ["NONE"] };
  readonly Labels: Readonly<Record<string, string>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

/**
 * The create call for an instance: every wall, nothing else. Pure; equal input gives equal output.
 * @throws SandboxError `sandbox.start_failed` when `spec.env` would displace one of the fixed names
 */
export function createContainerBody(spec: InstanceSpec, place: ContainerPlace): ContainerBody {
  const mounts: Mount[] = [
    ...spec.mounts,
    { source: place.runnerRoot, target: "/runner", read_only: true },
    { source: place.runnerSockets, target: `${SOCKET_TARGET}/runner`, read_only: true },
    ...Object.entries(spec.sockets).map(([name, source]) => ({ source, target: `${SOCKET_TARGET}/${name}`, read_only: true })),
  ];
  return body({
    image: place.imageId,
    command: COMMAND[spec.runtime],
    env: environment(instanceEnv(spec), spec.env, place.imageEnvNames),
    workingDir: "/",
    attach: false,
    labels: instanceLabels(spec, place.installation),
    mounts,
    limits: spec.limits,
    ociRuntime: place.ociRuntime,
    gids: place.socketGids,
  });
}

/** The create call for a job: the same walls, its own command and image. Pure. */
export function createJobBody(spec: JobSpec, place: Omit<ContainerPlace, "runnerRoot" | "runnerSockets">): ContainerBody {
  return body({
    image: place.imageId,
    command: spec.argv,
    env: environment({ PATH, HOME: "/tmp", TMPDIR: "/tmp", LANG: "C.UTF-8" }, spec.env, place.imageEnvNames),
    workingDir: spec.working_dir,
    attach: true,
    labels: jobLabels(spec, place.installation),
    mounts: spec.mounts,
    limits: spec.limits,
    ociRuntime: place.ociRuntime,
    gids: place.socketGids,
  });
}

function instanceEnv(spec: InstanceSpec): Record<string, string> {
  return {
    PATH,
    HOME: "/tmp",
    TMPDIR: "/tmp",
    LANG: "C.UTF-8",
    PYTHONPATH: "/runner/python:/pip-packages",
    RUMI_PACK_ID: spec.pack_id,
    RUMI_EGRESS_SOCKET: `${SOCKET_TARGET}/egress/egress.sock`,
    RUMI_CAPABILITY_SOCKET: `${SOCKET_TARGET}/capability/capability.sock`,
  };
}

/** The environment exactly. A name without `=` takes out what the image or the engine would put there. */
function environment(
  fixed: Readonly<Record<string, string>>,
  extra: Readonly<Record<string, string>>,
  imageEnvNames: readonly string[],
): string[] {
  for (const [name, value] of Object.entries(extra)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/u.test(name) || value.includes("\0") || Object.hasOwn(fixed, name)) {
      throw new SandboxError("sandbox.start_failed", `the environment name ${JSON.stringify(name)} is refused`);
    }
  }
  const wanted = { ...fixed, ...extra };
  const unwanted = [...new Set([...imageEnvNames, "HOSTNAME"])].filter((name) => !Object.hasOwn(wanted, name)).sort();
  return [...Object.entries(wanted).map(([name, value]) => `${name}=${value}`), ...unwanted];
}

interface BodyParts {
  readonly image: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly attach: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  readonly limits: InstanceLimits;
  readonly ociRuntime: string | undefined;
  readonly gids: readonly number[];
}

function body(parts: BodyParts): ContainerBody {
  return {
    Image: parts.image,
    Entrypoint: parts.command,
    Cmd: [],
    Env: parts.env,
    WorkingDir: parts.workingDir,
    User: SANDBOX_USER,
    Hostname: "sandbox",
    Tty: false,
    OpenStdin: false,
    AttachStdin: false,
    AttachStdout: parts.attach,
    AttachStderr: parts.attach,
    Healthcheck: { Test: ["NONE"] },
    Labels: parts.labels,
    HostConfig: {
      Mounts: parts.mounts.map(bindMount),
      Tmpfs: {
        "/tmp": `rw,noexec,nosuid,nodev,size=${String(parts.limits.tmp_bytes)},nr_inodes=${String(TMP_INODES)},mode=1777`,
        // The engine mounts a world-writable message queue folder here; nothing of ours uses it.
        "/dev/mqueue": "ro,noexec,nosuid,nodev,size=4k,mode=0555",
      },
      ShmSize: SHM_BYTES,
      ReadonlyRootfs: true,
      NetworkMode: "none",
      // Without these the engine copies the host's name servers and search domains into the container.
      Dns: ["127.0.0.1"],
      DnsSearch: ["."],
      IpcMode: "private",
      CgroupnsMode: "private",
      Privileged: false,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true", `seccomp=${SECCOMP_PROFILE}`],
      GroupAdd: parts.gids.map(String),
      Memory: parts.limits.memory_bytes,
      MemorySwap: parts.limits.memory_bytes,
      NanoCpus: Math.round(parts.limits.cpus * 1e9),
      PidsLimit: parts.limits.pids,
      Ulimits: [
        { Name: "nofile", Soft: MAX_OPEN_FILES, Hard: MAX_OPEN_FILES },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      LogConfig: { Type: "none", Config: {} },
      Init: false,
      ...(parts.ociRuntime === undefined ? {} : { Runtime: parts.ociRuntime }),
    },
  };
}

function bindMount(mount: Mount): BindMount {
  return {
    Type: "bind",
    Source: mount.source,
    Target: mount.target,
    ReadOnly: mount.read_only,
    BindOptions: { Propagation: "rprivate" },
  };
}

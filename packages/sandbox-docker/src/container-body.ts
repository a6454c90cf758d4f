import type { InstanceLimits, InstanceSpec, JobSpec, Mount } from "@rumi/sandbox";
import {
  instanceEnvironment,
  MAX_OPEN_FILES,
  RUNNER_COMMAND,
  RUNNER_TARGET,
  SANDBOX_ID,
  SANDBOX_PATH,
  SHM_BYTES,
  SOCKET_TARGET,
  TMP_INODES,
  withEnvironment,
} from "@rumi/sandbox";
import { instanceLabels, jobLabels } from "./labels.ts";
import { SECCOMP_PROFILE } from "./seccomp.ts";

/** The user inside: nobody, of no group but the sockets'. */
export const SANDBOX_USER = `${String(SANDBOX_ID)}:${String(SANDBOX_ID)}`;

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
    { source: place.runnerRoot, target: RUNNER_TARGET, read_only: true },
    { source: place.runnerSockets, target: `${SOCKET_TARGET}/runner`, read_only: true },
    ...Object.entries(spec.sockets).map(([name, source]) => ({ source, target: `${SOCKET_TARGET}/${name}`, read_only: true })),
  ];
  return body({
    image: place.imageId,
    command: RUNNER_COMMAND[spec.runtime],
    env: environment(instanceEnvironment(spec), place.imageEnvNames),
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
    env: environment(withEnvironment({ PATH: SANDBOX_PATH, HOME: "/tmp", TMPDIR: "/tmp", LANG: "C.UTF-8" }, spec.env), place.imageEnvNames),
    workingDir: spec.working_dir,
    attach: true,
    labels: jobLabels(spec, place.installation),
    mounts: spec.mounts,
    limits: spec.limits,
    ociRuntime: place.ociRuntime,
    gids: place.socketGids,
  });
}

/** The environment exactly. A name without `=` takes out what the image or the engine would put there. */
function environment(wanted: Readonly<Record<string, string>>, imageEnvNames: readonly string[]): string[] {
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

import type { Runtime, RuntimeImage, SandboxProbe, Weakness } from "@rumi/sandbox";
import { RUNNER_UNREADABLE } from "@rumi/sandbox";
import type { EngineFacts } from "./engine.ts";

/** Oldest runc that does not leak an open file of the host to a started container (its own 1.1.12 release notes). */
const SAFE_RUNC = [1, 1, 12] as const;

/** gVisor under its usual names: `runsc`, `runsc-kvm`, `runsc-ptrace`. */
const GVISOR = /^runsc(-|$)/u;

/** The engine's answer is about what it asks of a runtime; gVisor's by default leaves this out. */
const UNFILTERED =
  "under gVisor the filter of system calls is not applied unless runsc is registered with --oci-seccomp: its own kernel answers them";

/** What the engine has for one runtime. */
export interface ImageFacts {
  readonly ref: string;
  /** The pinned id, or the id the name stands for now; null when neither is there. */
  readonly imageId: string | null;
  readonly present: boolean;
  /** The name stands for another image than the pinned one. */
  readonly moved: boolean;
  /** The name is pinned to an image that is gone. */
  readonly pinLost: boolean;
}

/** The settings a probe is judged by. */
export interface ProbeSettings {
  readonly engineSocket: string;
  readonly ociRuntime: string | undefined;
  /** The runner's files can be read by the user inside. */
  readonly runnerReadable: boolean;
}

/** What an operator types to get an image. The daemon itself never pulls. */
export function imageRemedy(image: ImageFacts): string {
  if (image.pinLost) return `rumi container pin ${image.ref}`;
  return image.ref.startsWith("rumi-base-") ? "tools/engine-up.sh" : `docker pull ${image.ref}`;
}

/** The answer of an engine that was reached. Pure. */
export function describeEngine(facts: EngineFacts, images: Readonly<Record<Runtime, ImageFacts>>, settings: ProbeSettings): SandboxProbe {
  const { ociRuntime } = settings;
  const missingRuntime = ociRuntime !== undefined && !facts.runtimes.includes(ociRuntime);
  const missing = Object.values(images).filter((image) => !image.present);
  const remedy = missingRuntime
    ? `register the runtime ${ociRuntime} with the engine, or unset RUMI_DOCKER_RUNTIME`
    : missing[0] === undefined
      ? undefined
      : imageRemedy(missing[0]);
  return {
    available: !missingRuntime,
    adapter: "docker",
    isolation: "container",
    engine: { version: facts.version, api: facts.api },
    oci_runtime: ociRuntime ?? facts.defaultRuntime,
    transport: "socket",
    runtimes: { python: runtimeImage(images.python), node: runtimeImage(images.node) },
    weaknesses: engineWeaknesses(facts, settings.engineSocket),
    warnings: [
      ...(settings.runnerReadable ? [] : [RUNNER_UNREADABLE]),
      ...(GVISOR.test(ociRuntime ?? facts.defaultRuntime) ? [UNFILTERED] : []),
      ...warnings(facts, Object.values(images)),
    ],
    ...(remedy === undefined ? {} : { remedy }),
  };
}

/** The answer when no engine answers; `reason` is the system's error code where there is one. Pure. */
export function describeNoEngine(refs: Readonly<Record<Runtime, string>>, reason: string): SandboxProbe {
  const absent = (ref: string): RuntimeImage => ({ ref, image_id: null, present: false });
  return {
    available: false,
    adapter: "docker",
    isolation: "container",
    transport: "socket",
    runtimes: { python: absent(refs.python), node: absent(refs.node) },
    weaknesses: [],
    warnings: [`the Docker engine does not answer: ${reason}`],
    remedy:
      reason === "EACCES"
        ? "let this user open the engine's socket (sudo usermod -aG docker <user>, then log in again)"
        : "start a Docker engine (tools/engine-up.sh installs and starts one)",
  };
}

/** True when a socket setting names an engine on another machine. */
export function isRemoteEngine(engineSocket: string): boolean {
  return /^[a-z]+:\/\//u.test(engineSocket) && !engineSocket.startsWith("unix://");
}

/** The walls that an engine cannot give. Pure. */
export function engineWeaknesses(facts: EngineFacts, engineSocket: string): Weakness[] {
  const found: Weakness[] = [];
  if (!facts.seccomp) found.push({ id: "seccomp", message: "the engine does not filter system calls" });
  if (!facts.memoryLimit) found.push({ id: "memory", message: "the engine does not enforce memory limits" });
  if (!facts.pidsLimit) found.push({ id: "pids", message: "the engine does not enforce process limits" });
  if (isRemoteEngine(engineSocket)) found.push({ id: "remote_engine", message: "the engine is on another machine" });
  return found;
}

function warnings(facts: EngineFacts, images: readonly ImageFacts[]): string[] {
  const found: string[] = [];
  if (!facts.swapLimit) found.push("the engine does not limit swap: a pack may use more than its memory limit in swap");
  if (facts.runc !== null && isOlder(facts.runc, SAFE_RUNC)) {
    found.push(`runc ${facts.runc} is older than ${SAFE_RUNC.join(".")}: check that your distribution has backported its security fixes`);
  }
  for (const image of images) {
    if (image.moved) found.push(`${image.ref} names another image now; the pinned one runs on (rumi container pin ${image.ref})`);
    if (image.pinLost) found.push(`the image ${image.ref} is pinned to is gone`);
  }
  return found;
}

function runtimeImage(image: ImageFacts): RuntimeImage {
  return { ref: image.ref, image_id: image.imageId, present: image.present };
}

function isOlder(version: string, than: readonly number[]): boolean {
  const numbers = /^(\d+)\.(\d+)\.(\d+)/u.exec(version)?.slice(1).map(Number);
  if (numbers === undefined) return false;
  for (const [index, wanted] of than.entries()) {
    const have = numbers[index] ?? 0;
    if (have !== wanted) return have < wanted;
  }
  return false;
}

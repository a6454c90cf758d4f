import { FORWARD_PROXY_ENV } from "@rumi/sandbox";
import type { InstanceSpec } from "@rumi/sandbox";

/** The search path of a block on the host: the system's, nothing of the operator's. */
const PATH = "/usr/local/bin:/usr/bin:/bin";

/** Where one instance has its things on the host. */
export interface HostPlace {
  /** Home and temporary folder, its own. */
  readonly home: string;
  readonly runnerRoot: string;
}

/**
 * The environment of a runner on the host: the container's names with host paths, and nothing of the daemon's own. Pure.
 * No forward proxy: without a network of its own an instance's port would be everybody's on this machine.
 */
export function hostEnvironment(spec: InstanceSpec, place: HostPlace): Record<string, string> {
  const packages = sourceOf(spec, "/pip-packages");
  const socket = (name: string): string => (spec.sockets[name] === undefined ? "" : `${spec.sockets[name]}/${name}.sock`);
  const extra = Object.entries(spec.env).filter(([name]) => !Object.hasOwn(FORWARD_PROXY_ENV, name));
  return {
    ...Object.fromEntries(extra),
    PATH,
    HOME: place.home,
    TMPDIR: place.home,
    LANG: "C.UTF-8",
    PYTHONPATH: [`${place.runnerRoot}/python`, ...(packages === undefined ? [] : [packages])].join(":"),
    RUMI_PACK_ID: spec.pack_id,
    RUMI_EGRESS_SOCKET: socket("egress"),
    RUMI_CAPABILITY_SOCKET: socket("capability"),
  };
}

/** Host folder that a container would show at `target`. */
export function sourceOf(spec: InstanceSpec, target: string): string | undefined {
  return spec.mounts.find((mount) => mount.target === target)?.source;
}

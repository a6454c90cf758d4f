import type { Clock, Logger } from "@rumi/core";
import type { Sandbox } from "@rumi/sandbox";
import { BubblewrapSandbox } from "@rumi/sandbox-bubblewrap";
import { DockerSandbox } from "@rumi/sandbox-docker";
import type { ImagePins } from "@rumi/sandbox-docker";
import type { Config } from "./config.ts";
import { RemediedSandbox } from "./remedied-sandbox.ts";

export interface SandboxDeps {
  readonly userData: string;
  readonly installation: string;
  readonly pins: ImagePins;
  readonly socketBase: string;
  readonly runnerRoot: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What brings up a Docker engine, and what installs bubblewrap: the commands of this checkout. */
const ENGINE_UP = "sudo tools/engine-up.sh";
const BUBBLEWRAP_UP = "sudo tools/bubblewrap-up.sh";

/** Which isolation this start has, and the one command that would give it one where it has none. */
export interface ChosenSandbox {
  readonly sandbox: Sandbox;
  /** Null where the probe's own remedy is the command. */
  readonly setup: string | null;
  /** Work that the first start of an instance would otherwise wait for. */
  readonly prepare?: () => Promise<void>;
}

/**
 * The sandbox of this start, settled once: Docker if its engine answers, else bubblewrap if it can make a sandbox, as far as
 * `RUMI_SANDBOX` lets it choose. With neither: one that refuses and names both ways; in permissive mode the bare host.
 * Nothing falls back to the host later, nor ever in strict mode.
 */
export async function chooseSandbox(config: Config, deps: SandboxDeps): Promise<ChosenSandbox> {
  const permissive = config.securityMode === "permissive";
  const chosen = await chooseStrict(config, deps, permissive);
  if (!permissive || (await chosen.sandbox.probe()).available) return chosen;
  await chosen.sandbox[Symbol.asyncDispose]();
  // Loaded here alone: a strict daemon does not even hold the code that runs blocks on the host.
  const { HostSandbox } = await import("@rumi/sandbox-host");
  const { installation, socketBase, runnerRoot, userData, clock, logger } = deps;
  return {
    sandbox: new HostSandbox({ installation, socketBase, runnerRoot, userData, clock, logger }, { mode: "permissive" }),
    setup: null,
  };
}

/** The strict sandbox of `RUMI_SANDBOX`, whether or not it answers. `allowWeak`: one with missing walls starts all the same. */
export async function chooseStrict(config: Config, deps: SandboxDeps, allowWeak: boolean): Promise<ChosenSandbox> {
  if (config.sandbox === "bubblewrap") {
    const bubblewrap = createBubblewrap(config, deps, allowWeak);
    return { sandbox: bubblewrap, setup: setupOf(await bubblewrap.probe({ fresh: true })), prepare: () => bubblewrap.prepare() };
  }
  const docker = createDocker(config, deps, allowWeak);
  if (config.sandbox === "docker") return { sandbox: docker, setup: ENGINE_UP };
  const engine = await docker.probe({ fresh: true });
  if (engine.available) return { sandbox: docker, setup: null };
  const bubblewrap = createBubblewrap(config, deps, allowWeak);
  const probe = await bubblewrap.probe({ fresh: true });
  if (probe.available) {
    await docker[Symbol.asyncDispose]();
    return { sandbox: bubblewrap, setup: null, prepare: () => bubblewrap.prepare() };
  }
  await bubblewrap[Symbol.asyncDispose]();
  // An engine that may not be opened has a remedy of its own.
  const ofEngine = engine.remedy?.includes("engine-up.sh") === false ? engine.remedy : `${ENGINE_UP} (a Docker engine)`;
  const ofBubblewrap = setupOf(probe) === null ? `for bubblewrap: ${probe.remedy ?? "rumi doctor"}` : `${BUBBLEWRAP_UP} (bubblewrap)`;
  const remedy = `${ofEngine}, or ${ofBubblewrap}; then start again`;
  return { sandbox: new RemediedSandbox(docker, remedy), setup: setupOf(probe) ?? ENGINE_UP };
}

function setupOf(probe: { readonly available: boolean; readonly engine?: unknown }): string | null {
  return !probe.available && probe.engine === undefined ? BUBBLEWRAP_UP : null;
}

function createDocker(config: Config, deps: SandboxDeps, allowWeak: boolean): DockerSandbox {
  const { installation, socketBase, runnerRoot, userData, clock, logger, pins } = deps;
  return new DockerSandbox(
    { installation, socketBase, runnerRoot, userData, clock, logger },
    {
      engineSocket: config.engineSocket,
      images: config.images,
      ...(config.ociRuntime === null ? {} : { ociRuntime: config.ociRuntime }),
      imagePins: pins,
      ...socketOptions(config),
      allowWeak,
    },
  );
}

function createBubblewrap(config: Config, deps: SandboxDeps, allowWeak: boolean): BubblewrapSandbox {
  const { installation, socketBase, runnerRoot, userData, clock, logger } = deps;
  return new BubblewrapSandbox({ installation, socketBase, runnerRoot, userData, clock, logger }, { ...socketOptions(config), allowWeak });
}

/** An instance is of the group of each kind of socket; the first is the group of files the sandbox itself shares with it. */
function socketOptions({ sockets: { capability, egress } }: Config): {
  socketGid?: number;
  extraGids?: readonly number[];
  socketMode?: 0o660 | 0o666;
} {
  return {
    ...(capability.gid === null ? {} : { socketGid: capability.gid }),
    ...(egress.gid === null || egress.gid === capability.gid ? {} : { extraGids: [egress.gid] }),
    ...(capability.mode === null ? {} : { socketMode: capability.mode === "0660" ? 0o660 : 0o666 }),
  };
}

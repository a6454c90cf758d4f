import type { Clock, Logger } from "@rumi/core";
import type { Sandbox } from "@rumi/sandbox";
import { DockerSandbox } from "@rumi/sandbox-docker";
import type { Config } from "./config.ts";
import { RumidError } from "./errors.ts";
import type { HomePaths } from "./home.ts";
import type { FileImagePins } from "./state-files.ts";

export interface SandboxDeps {
  readonly paths: HomePaths;
  readonly installation: string;
  readonly pins: FileImagePins;
  readonly socketBase: string;
  readonly runnerRoot: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The sandbox of this start, settled once: Docker; in permissive mode, when no engine answers, the bare host.
 * Nothing falls back to the host later, nor ever in strict mode.
 * @throws RumidError `rumid.sandbox_not_built` for bubblewrap
 */
export async function chooseSandbox(config: Config, deps: SandboxDeps): Promise<Sandbox> {
  if (config.sandbox === "bubblewrap") {
    throw new RumidError(
      "rumid.sandbox_not_built",
      "RUMI_SANDBOX=bubblewrap: this version has no bubblewrap sandbox yet; unset it, or use docker",
      { remedy: "unset RUMI_SANDBOX" },
    );
  }
  const permissive = config.securityMode === "permissive";
  const docker = new DockerSandbox(
    {
      installation: deps.installation,
      socketBase: deps.socketBase,
      runnerRoot: deps.runnerRoot,
      userData: deps.paths.userData,
      clock: deps.clock,
      logger: deps.logger,
    },
    {
      engineSocket: config.engineSocket,
      images: config.images,
      ...(config.ociRuntime === null ? {} : { ociRuntime: config.ociRuntime }),
      imagePins: deps.pins,
      ...(config.sockets.gid === null ? {} : { socketGid: config.sockets.gid }),
      ...(config.sockets.mode === null ? {} : { socketMode: config.sockets.mode === "0660" ? 0o660 : 0o666 }),
      allowWeak: permissive,
    },
  );
  if (!permissive || config.sandbox === "docker" || (await docker.probe({ fresh: true })).available) return docker;
  await docker[Symbol.asyncDispose]();
  // Loaded here alone: a strict daemon does not even hold the code that runs blocks on the host.
  const { HostSandbox } = await import("@rumi/sandbox-host");
  return new HostSandbox(
    {
      installation: deps.installation,
      socketBase: deps.socketBase,
      runnerRoot: deps.runnerRoot,
      userData: deps.paths.userData,
      clock: deps.clock,
      logger: deps.logger,
    },
    { mode: "permissive" },
  );
}

import { systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { DockerContainers } from "@rumi/sandbox-docker";

/** The engine the tests use; `RUMI_TEST_ENGINE_SOCKET` names another. */
export const ENGINE_SOCKET = process.env["RUMI_TEST_ENGINE_SOCKET"] ?? "/var/run/docker.sock";
export const IMAGE = "rumi-base-python:dev";
export const NODE_IMAGE = "rumi-base-node:dev";

/** Containers of an installation of its own; what they leave is found by a second one of the same installation. */
export function containersOf(installation = systemRandom.hex(16)): {
  readonly installation: string;
  readonly containers: DockerContainers;
  readonly again: () => DockerContainers;
} {
  const again = (): DockerContainers =>
    new DockerContainers({ installation, clock: systemClock, random: systemRandom, logger: silentLogger }, { engineSocket: ENGINE_SOCKET });
  return { installation, containers: again(), again };
}

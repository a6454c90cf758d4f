export { DockerSandbox } from "./docker-sandbox.ts";
export type { DockerSandboxDeps, DockerSandboxOptions } from "./docker-sandbox.ts";
export { DockerContainers } from "./docker-containers.ts";
export type { CommandEnd, ContainerRefused, ContainerRequest, DockerContainersDeps, DockerContainersOptions } from "./docker-containers.ts";
export { MemoryImagePins } from "./ports.ts";
export type { ImagePins } from "./ports.ts";

export { createContainerBody, createJobBody, SANDBOX_USER } from "./container-body.ts";
export type { ContainerBody, ContainerPlace } from "./container-body.ts";
export { LABEL } from "./labels.ts";
export { SECCOMP_PROFILE } from "./seccomp.ts";

import type { PackId } from "@rumi/core";
import type { InstanceSpec, JobSpec } from "@rumi/sandbox";

/** Labels by which what is ours is found again. Source: page "Execution", section 4. */
export const LABEL = {
  managed: "rumi.managed",
  packId: "rumi.pack_id",
  digest: "rumi.digest",
  runtime: "rumi.runtime",
  type: "rumi.type",
  instance: "rumi.instance",
  installation: "rumi.installation",
  principal: "rumi.principal",
} as const;

/** `rumi.type` of containers that packs asked for: who made them holds and sweeps them, never the sandbox. */
export const CAPABILITY_TYPE = "capability";

/** Longest part of a container's name that comes from a pack id. Source: page "Execution", section 4. */
const NAME_PACK_CHARS = 40;

/** Characters of an instance id in a container's name. */
const NAME_ID_CHARS = 12;

/** Name of an instance's container. */
export function containerName(spec: InstanceSpec): string {
  return `rumi-${spec.purpose}-${spec.pack_id.slice(0, NAME_PACK_CHARS)}-${spec.instance_id.slice(0, NAME_ID_CHARS)}`;
}

/** Name of a job's container. */
export function jobName(spec: JobSpec): string {
  return `rumi-cap-${spec.job_id.slice(0, NAME_ID_CHARS)}`;
}

/** Labels of an instance's container. */
export function instanceLabels(spec: InstanceSpec, installation: string): Record<string, string> {
  return {
    [LABEL.managed]: "true",
    [LABEL.packId]: spec.pack_id,
    [LABEL.digest]: spec.digest,
    [LABEL.runtime]: spec.runtime,
    [LABEL.type]: spec.purpose,
    [LABEL.instance]: spec.instance_id,
    [LABEL.installation]: installation,
  };
}

/** Labels of a job's container. The caller's own labels never displace ours. */
export function jobLabels(spec: JobSpec, installation: string): Record<string, string> {
  return {
    ...spec.labels,
    [LABEL.managed]: "true",
    [LABEL.type]: "job",
    [LABEL.instance]: spec.job_id,
    [LABEL.installation]: installation,
  };
}

/** Labels of a container that a pack asked for. */
export function capabilityLabels(name: string, principal: PackId, installation: string): Record<string, string> {
  return {
    [LABEL.managed]: "true",
    [LABEL.type]: CAPABILITY_TYPE,
    [LABEL.instance]: name,
    [LABEL.installation]: installation,
    [LABEL.principal]: principal,
  };
}

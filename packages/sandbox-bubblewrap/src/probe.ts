import type { Runtime, RuntimeImage, SandboxProbe, Weakness } from "@rumi/sandbox";
import { RUNNER_UNREADABLE } from "@rumi/sandbox";
import { OLDEST_BUBBLEWRAP } from "./host-facts.ts";
import type { HostFacts } from "./host-facts.ts";
import type { LimitName } from "./ports.ts";

/** What was found out; `trial` is null when an empty sandbox came up, else what the launcher said. */
export interface ProbeFacts {
  readonly host: HostFacts;
  readonly trial: string | null;
  readonly cgroups: { readonly name: string; readonly missing: readonly LimitName[] };
  readonly hasFilter: boolean;
  readonly runnerReadable: boolean;
  readonly runtimes: Readonly<Record<Runtime, RuntimeImage>>;
}

/** What makes bubblewrap available. */
export const INSTALL_REMEDY = "install bubblewrap (tools/bubblewrap-up.sh, or your distribution's package bubblewrap)";

/** How a user's daemon gets limits where only root has them. */
export const LIMITS_REMEDY =
  "start it where control groups may be made: as root, or in a delegated scope (systemd-run --user --scope -p Delegate=yes npm start)";

const FORBIDS: Readonly<Record<HostFacts["forbids"][number], string>> = {
  userns_clone: "allow user namespaces (sudo sysctl kernel.unprivileged_userns_clone=1)",
  apparmor: "allow user namespaces (sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0)",
  max_user_namespaces: "allow user namespaces (sudo sysctl user.max_user_namespaces=15000)",
};

/** The answer. Pure. */
export function describeBubblewrap(facts: ProbeFacts): SandboxProbe {
  const { host, trial, runtimes } = facts;
  const available = host.version !== null && !host.tooOld && trial === null;
  const weaknesses = available ? weaknessesOf(facts) : [];
  const remedy = available ? availableRemedy(facts, weaknesses) : unavailableRemedy(host);
  return {
    available,
    adapter: "bubblewrap",
    isolation: "container",
    ...(host.version === null ? {} : { engine: { version: host.version, api: facts.cgroups.name } }),
    transport: "socket",
    runtimes,
    weaknesses,
    warnings: warningsOf(facts, available),
    ...(remedy === undefined ? {} : { remedy }),
  };
}

function weaknessesOf({ cgroups, hasFilter }: ProbeFacts): Weakness[] {
  const found: Weakness[] = [];
  if (!hasFilter) found.push({ id: "seccomp", message: "there is no filter program for this machine" });
  if (cgroups.missing.includes("memory")) found.push({ id: "memory", message: "no control group limits memory" });
  if (cgroups.missing.includes("pids")) found.push({ id: "pids", message: "no control group limits processes" });
  return found;
}

function availableRemedy({ runtimes }: ProbeFacts, weaknesses: readonly Weakness[]): string | undefined {
  if (weaknesses.some(({ id }) => id === "memory" || id === "pids")) return LIMITS_REMEDY;
  if (!runtimes.python.present) return "install Python 3 of your distribution (package python3)";
  return undefined;
}

function unavailableRemedy(host: HostFacts): string {
  if (host.version === null) return INSTALL_REMEDY;
  if (host.tooOld) return `install bubblewrap ${OLDEST_BUBBLEWRAP.join(".")} or later`;
  const [first] = host.forbids;
  return first === undefined ? "let this user make namespaces and mounts, or start a Docker engine (tools/engine-up.sh)" : FORBIDS[first];
}

function warningsOf({ host, trial, cgroups, runnerReadable }: ProbeFacts, available: boolean): string[] {
  const found: string[] = [];
  if (host.version === null) found.push("bubblewrap is not installed");
  else if (host.tooOld) found.push(`bubblewrap ${host.version} is too old`);
  else if (trial !== null) found.push("bubblewrap cannot make a sandbox on this machine");
  if (available && cgroups.missing.includes("swap") && !cgroups.missing.includes("memory")) {
    found.push("swap is not limited: a pack may use more than its memory limit in swap");
  }
  if (available && cgroups.missing.includes("cpu")) found.push("processor time is not limited");
  if (!runnerReadable) found.push(RUNNER_UNREADABLE);
  return found;
}

import { statfs } from "node:fs/promises";
import type { DaemonPort, DaemonStatus, DiagnosticsAnswer, DiagnosticsQuery, HealthAnswer } from "@rumi/api";
import type { PackApprovals } from "@rumi/approval";
import type { Diagnostics } from "@rumi/audit";
import type { Clock } from "@rumi/core";
import { refuseRuntime } from "@rumi/pack-runtime";
import type { FlowCatalog, InstancePool, PendingExport, SandboxWatch } from "@rumi/pack-runtime";
import type { FlowRunner } from "@rumi/flow-engine";

/** Share of the disk from which health is degraded. Source: page "HTTP, command line, operations", section 6. */
export const DISK_DEGRADED_SHARE = 0.9;
/** How long one look at the disk counts. */
const DISK_LOOK_MS = 10_000;

/** Parts whose failure makes the whole daemon unwell. */
const VITAL_KINDS: ReadonlySet<string> = new Set(["home", "audit", "sandbox", "startup"]);

/** What opens a locked home: what its signatures hang on lies in one folder. */
const LOCKED_REMEDY =
  "stop the daemon, put your own copy of user_data/permissions/ back and start again; without one, start in a new RUMI_HOME and approve again";

/** What the state asks of the composed parts, once they are there. */
export interface DaemonParts {
  readonly approvals: PackApprovals;
  readonly catalog: FlowCatalog;
  readonly runner: FlowRunner;
  readonly pool: InstancePool;
  readonly pending: PendingExport;
  readonly watch: SandboxWatch;
}

/** Where the daemon stands in its life, and how it is. Answers from memory. */
export class DaemonState implements DaemonPort {
  readonly #clock: Clock;
  readonly #diagnostics: Diagnostics;
  readonly #facts: {
    readonly version: string;
    readonly mode: "strict" | "permissive";
    readonly userData: string;
    readonly warnings: readonly string[];
    readonly locked: string | null;
  };
  readonly #startedAt: number;
  #phase: "starting" | "running" | "stopping" = "starting";
  #parts: DaemonParts | null = null;
  #disk = { share: 0, at: Number.NEGATIVE_INFINITY };

  constructor(
    deps: { readonly clock: Clock; readonly diagnostics: Diagnostics },
    facts: {
      readonly version: string;
      readonly mode: "strict" | "permissive";
      readonly userData: string;
      readonly warnings: readonly string[];
      readonly locked: string | null;
    },
  ) {
    this.#clock = deps.clock;
    this.#diagnostics = deps.diagnostics;
    this.#facts = facts;
    this.#startedAt = deps.clock.monotonic();
  }

  /** The parts are wired: status can tell of them. */
  attach(parts: DaemonParts): void {
    this.#parts = parts;
  }

  enter(phase: "running" | "stopping"): void {
    this.#phase = phase;
  }

  phase(): "starting" | "running" | "stopping" {
    return this.#phase;
  }

  locked(): ReturnType<DaemonPort["locked"]> {
    const { locked } = this.#facts;
    return locked === null ? null : { reason: locked, remedy: LOCKED_REMEDY };
  }

  async health(): Promise<HealthAnswer> {
    const now = this.#clock.monotonic();
    if (now - this.#disk.at > DISK_LOOK_MS) this.#disk = { share: await diskShare(this.#facts.userData), at: now };
    return { status: this.#isWell() ? "ok" : "degraded" };
  }

  status(): DaemonStatus {
    const parts = this.#parts;
    const probe = parts?.watch.last ?? null;
    const packs: Record<string, number> = {};
    for (const pack of parts?.approvals.list() ?? []) packs[pack.status] = (packs[pack.status] ?? 0) + 1;
    return {
      version: this.#facts.version,
      uptime: Math.round((this.#clock.monotonic() - this.#startedAt) / 1000),
      mode: this.#facts.mode,
      engine:
        probe === null
          ? null
          : {
              available: probe.available,
              adapter: probe.adapter,
              isolation: probe.isolation,
              ...probe.engine,
              remedy: probe.remedy ?? null,
            },
      counts: {
        packs,
        flows: parts?.catalog.table.list().length ?? 0,
        skipped_flows: parts?.catalog.last.skipped.reduce((sum, skip) => sum + skip.count, 0) ?? 0,
        runs: parts?.runner.list().filter((run) => run.state === "running").length ?? 0,
        instances: parts?.pool.list().length ?? 0,
      },
      warnings: [
        ...this.#facts.warnings,
        ...(this.#facts.mode === "permissive" ? ["permissive mode"] : []),
        ...(probe?.warnings ?? []),
        ...this.#faults(),
      ],
    };
  }

  pending(): unknown {
    return this.#parts?.pending.summary() ?? {};
  }

  diagnostics(filter: DiagnosticsQuery): DiagnosticsAnswer {
    const wanted = (part: { readonly id: string; readonly ts: string; readonly status: string }): boolean =>
      (filter.pack_id === undefined || part.id === filter.pack_id) &&
      (filter.since === undefined || part.ts >= filter.since) &&
      (filter.level === undefined || part.status === filter.level);
    return { parts: this.#diagnostics.parts().filter(wanted), events: this.#diagnostics.events({ limit: 1000 }).filter(wanted) };
  }

  #isWell(): boolean {
    const probe = this.#parts?.watch.last ?? null;
    if (probe !== null && this.#facts.mode === "strict") {
      const refusal = refuseRuntime(probe, "strict", "python");
      if (refusal !== null && refusal.code !== "sandbox.image_missing") return false;
    }
    return this.#disk.share < DISK_DEGRADED_SHARE && this.#faults().length === 0;
  }

  #faults(): string[] {
    return this.#diagnostics.parts().flatMap((part) => (VITAL_KINDS.has(part.kind) && part.status === "failed" ? [part.message] : []));
  }
}

/** Share of the disk at `path` that is used, 0 to 1; 0 when it cannot be told. */
export async function diskShare(path: string): Promise<number> {
  const stats = await statfs(path).catch(() => null);
  if (stats === null || stats.blocks === 0) return 0;
  return 1 - stats.bavail / (stats.blocks - stats.bfree + stats.bavail);
}

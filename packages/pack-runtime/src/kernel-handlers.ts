import type { PackApprovals } from "@rumi/approval";
import type { AuditLog } from "@rumi/audit";
import type { JsonObject, JsonValue, PackId } from "@rumi/core";
import { FlowError } from "@rumi/flow-engine";
import type { KernelHandler } from "@rumi/flow-engine";
import type { Runtime } from "@rumi/sandbox";
import type { FlowCatalog } from "./flow-catalog.ts";
import type { InstancePool } from "./instance-pool.ts";
import type { PendingExport } from "./pending-export.ts";
import { runtimesOf } from "./pack-runtimes.ts";
import type { SandboxWatch } from "./sandbox-watch.ts";

/** Says whether a pack may reach a host. `NetworkGrants` is one. Memory only. */
export interface NetworkChecks {
  check(
    principal: string,
    domain: string,
    port: number,
  ): { readonly allowed: boolean; readonly reason: string; readonly pack_id: string; readonly domain: string; readonly port: number };
}

/** Open handlers beside the engine's own: `kernel:network.check`, for the step's own principal. */
export function openKernelHandlers(deps: { readonly network: NetworkChecks }): KernelHandler[] {
  return [
    {
      name: "kernel:network.check",
      kind: "open",
      run(args, scope) {
        const { domain, port } = args;
        if (
          typeof domain !== "string" ||
          domain === "" ||
          typeof port !== "number" ||
          !Number.isInteger(port) ||
          port < 1 ||
          port > 65_535
        ) {
          throw new FlowError("kernel.invalid_args", "network.check needs domain (text) and port (1 to 65535)");
        }
        return { ...deps.network.check(scope.principal, domain, port) };
      },
    },
  ];
}

export interface OperatorHandlerDeps {
  readonly approvals: Pick<PackApprovals, "scan" | "list" | "gate">;
  readonly flows: () => FlowCatalog;
  readonly sandbox: SandboxWatch;
  readonly pool: InstancePool;
  readonly pending: PendingExport;
  readonly audit: Pick<AuditLog, "query" | "summary">;
}

/** Handlers that change or show the daemon's own things; only official flows may name them. */
export function operatorKernelHandlers(deps: OperatorHandlerDeps): KernelHandler[] {
  const operator = (name: KernelHandler["name"], run: (args: JsonObject) => Promise<JsonValue> | JsonValue): KernelHandler => ({
    name,
    kind: "operator",
    run: (args) => run(args),
  });
  return [
    operator("kernel:approval.scan", async () => {
      await deps.approvals.scan();
      const byStatus: Record<string, string[]> = {};
      for (const pack of deps.approvals.list()) (byStatus[pack.status] ??= []).push(pack.pack_id);
      return byStatus;
    }),
    operator("kernel:flow.load_all", async () => {
      const load = await deps.flows().reload();
      return plain({ flows: load.flows, problems: load.problems.length, skipped: load.skipped });
    }),
    operator("kernel:sandbox.status", async () => plain(await deps.sandbox.probe())),
    operator("kernel:sandbox.prewarm", async (args) => prewarm(deps, packIds(args))),
    operator("kernel:pending.export", async () => ({ path: await deps.pending.write() })),
    operator("kernel:audit.query", async (args) => plain(await deps.audit.query(args))),
    operator("kernel:audit.summary", () => plain(deps.audit.summary())),
  ];
}

/** Starts an instance of each pack that may run; what does not start is told, never thrown: the first call tries again. */
async function prewarm(deps: OperatorHandlerDeps, ids: readonly string[]): Promise<JsonObject> {
  const started: string[] = [];
  const failed: JsonValue[] = [];
  for (const id of ids) {
    const gate = deps.approvals.gate(id as PackId);
    if (!gate.allowed) {
      failed.push({ pack_id: id, code: gate.code });
      continue;
    }
    for (const runtime of runtimesOf(gate)) {
      try {
        await deps.pool.prewarm({
          pack_id: gate.pack_id,
          digest: gate.digest,
          runtime,
          authority: gate.pack_id,
          root: gate.root,
          reuse: gate.pack.reuse,
        });
        started.push(`${id}/${runtime satisfies Runtime}`);
      } catch (cause) {
        failed.push({ pack_id: id, code: cause instanceof Error && "code" in cause ? String(cause.code) : "sandbox.start_failed" });
      }
    }
  }
  return { started, failed };
}

function packIds(args: JsonObject): string[] {
  const { pack_ids: ids } = args;
  if (ids === undefined || ids === null) return [];
  if (!Array.isArray(ids) || !ids.every((id): id is string => typeof id === "string")) {
    throw new FlowError("kernel.invalid_args", "pack_ids must be a list of pack ids");
  }
  return ids;
}

/** What the daemon's own parts answer is JSON already; this only drops absent members. */
function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value ?? null)) as JsonValue;
}

import type { GrantBook } from "@rumi/capability";
import type { JsonObject, JsonValue, PackId } from "@rumi/core";
import type { HandlerScope, KernelHandler } from "@rumi/flow-engine";
import type { ApprovalGate } from "./ports.ts";
import { refuseFaults, textFaults, textOf } from "./vocabulary/handler-args.ts";

const NETWORK = "network.egress";

export interface RightsHandlerDeps {
  readonly grants: Pick<GrantBook, "grant" | "revoke" | "list" | "tampered">;
  readonly gate: Pick<ApprovalGate, "gate">;
}

/** `kernel:capability.*` and `kernel:network.grant revoke list`: the operator's, with the words and answers of the API. */
export function rightsKernelHandlers({ grants, gate }: RightsHandlerDeps): KernelHandler[] {
  const act = (
    name: KernelHandler["name"],
    needed: readonly string[],
    optional: readonly string[],
    run: (args: JsonObject, actor: string) => Promise<unknown>,
  ): KernelHandler => ({
    name,
    kind: "operator",
    checkArgs: (args) => textFaults(args, needed, optional),
    async run(args, scope) {
      refuseFaults(textFaults(args, needed, optional));
      return plain(await run(args, actorOf(scope)));
    },
  });
  return [
    act("kernel:capability.grant", ["principal_id", "permission_id"], ["expires_at", "notes"], async (args, actor) => {
      const { grant: _, ...given } = await grants.grant({ ...(args as { principal_id: string; permission_id: string }), actor });
      return given;
    }),
    act("kernel:capability.revoke", ["principal_id", "permission_id"], ["reason"], (args, actor) =>
      grants.revoke({
        principal_id: textOf(args, "principal_id") ?? "",
        permission_id: textOf(args, "permission_id") ?? "",
        ...reasonOf(args),
        actor,
      }),
    ),
    act("kernel:capability.list", [], ["principal_id"], async (args) => {
      const asked = textOf(args, "principal_id");
      const held: Readonly<Record<string, readonly unknown[]>> = grants.list(asked ?? undefined);
      const tampered = new Set<string>(grants.tampered().map((one) => one.principal_id));
      const ids = [...new Set([...Object.keys(held), ...tampered])].filter((id) => asked === null || id === asked).sort();
      const status = (id: string): string => (tampered.has(id) ? "tampered" : "ok");
      const records = ids.map((id) => [id, { principal_id: id, status: status(id), rights: held[id] ?? [] }] as const);
      return { grants: Object.fromEntries(records), count: records.length };
    }),
    act("kernel:network.grant", ["pack_id"], ["expires_at", "notes"], async (args, actor) => {
      const { pack_id: pack, expires_at, notes, ...config } = args as JsonObject & { pack_id: string; expires_at?: string; notes?: string };
      const terms = { ...(expires_at == null ? {} : { expires_at }), ...(notes == null ? {} : { notes }) };
      const { grant, undeclared, warnings } = await grants.grant({ principal_id: pack, permission_id: NETWORK, config, ...terms, actor });
      return { grant: { pack_id: pack, ...grant }, undeclared, warnings };
    }),
    act("kernel:network.revoke", ["pack_id"], ["reason"], async (args, actor) => {
      const pack = textOf(args, "pack_id") ?? "";
      const { revoked } = await grants.revoke({ principal_id: pack, permission_id: NETWORK, ...reasonOf(args), actor });
      return { pack_id: pack, revoked: revoked > 0 };
    }),
    act("kernel:network.list", [], [], async () => {
      const held = Object.entries(grants.list()).flatMap(([id, rights]) => {
        const right = rights.find((one) => one.permission_id === NETWORK);
        return right === undefined ? [] : [[id, { pack_id: id, ...right }] as const];
      });
      const asleep = held.flatMap(([id]) => {
        const decision = gate.gate(id as PackId);
        return decision.allowed ? [] : [[id, decision.reason] as const];
      });
      return {
        grants: Object.fromEntries(held),
        grant_count: held.length,
        disabled_packs: Object.fromEntries(asleep),
        disabled_count: asleep.length,
      };
    }),
  ];
}

function reasonOf(args: JsonObject): { reason?: string } {
  const reason = textOf(args, "reason");
  return reason === null ? {} : { reason };
}

function actorOf(scope: HandlerScope): string {
  return `flow:${scope.flow_id}`;
}

/** The book answers JSON already; this only drops absent members. */
function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value)) as JsonValue;
}

import { withoutSecret } from "@rumi/api";
import type { ApiDeps, GrantRecord, GrantsPort, NetworkGrantView, NetworkPort, PrivilegesPort, SecretsPort } from "@rumi/api";
import type { CallerGate, DeclaredRights, Grant, GrantBook, HostPrivileges, NetworkGrants } from "@rumi/capability";
import { CapabilityError } from "@rumi/capability";
import { isoTime } from "@rumi/core";
import type { AuditSink, Clock, JsonObject, PackId } from "@rumi/core";
import type { EgressReports } from "@rumi/egress";
import type { SecretStore } from "@rumi/secrets";
import { bindStores } from "./bind-stores.ts";
import type { StoreParts } from "./bind-stores.ts";
import { joinHeld, planDeclared } from "./declared-plan.ts";

/** The ports of rights, secrets and stores. */
export type RightsPorts = Pick<ApiDeps, "grants" | "network" | "secrets" | "privileges" | "stores">;

/** Most grants that the book takes in one batch. */
const BATCH = 50;

const NETWORK = "network.egress";

export interface GrantParts {
  readonly grants: GrantBook;
  readonly declared: DeclaredRights;
  readonly clock: Clock;
}

export interface NetworkParts {
  readonly grants: GrantBook;
  readonly verdicts: NetworkGrants;
  readonly gate: CallerGate;
  readonly reports: EgressReports;
  readonly audit: AuditSink;
  /** A report began or ended: the pack's instances are to be started anew, with or without the forward proxy. */
  readonly onReport?: (packId: PackId) => void;
}

/** Every part behind the API's ports of rights, secrets and stores. */
export interface RightsParts extends GrantParts, NetworkParts, StoreParts {
  readonly secrets: SecretStore;
  readonly privileges: HostPrivileges;
}

/** Binds them all. */
export function bindRights(parts: RightsParts): RightsPorts {
  return {
    grants: bindGrants(parts),
    network: bindNetwork(parts),
    secrets: bindSecrets(parts.secrets),
    privileges: bindPrivileges(parts.privileges),
    stores: bindStores(parts),
  };
}

export function bindGrants(parts: GrantParts): GrantsPort {
  const { clock, declared, grants } = parts;
  // What reads a right and then writes it has the book for itself.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const turn = last.then(act);
    last = turn.catch(() => undefined);
    return turn;
  };
  return {
    list: (principal) => recordsOf(grants, principal),
    grant: (ask, actor) =>
      inTurn(async () => {
        const given = await grants.grant({ ...withoutTerms(ask), ...termsOf(ask), actor });
        const { principal_id, permission_id, granted, config, undeclared, warnings } = given;
        return { principal_id, permission_id, granted, config, undeclared, warnings };
      }),
    revoke: (ask, actor) => inTurn(() => grants.revoke({ ...ask, actor })),
    batch: (asks, actor) => inTurn(() => grants.batch(asks, actor)),
    reset: (principal, actor) => inTurn(() => grants.reset(principal, actor)),
    grantDeclared: (packId, actor) => inTurn(() => grantDeclared({ grants, declared, clock }, packId, actor)),
    withdrawSecret: ({ pack_id: packId, key, reason }, actor) =>
      inTurn(async () => {
        const changes = (grants.list(packId)[packId] ?? []).flatMap((right) => {
          const rest = right.permission_id.startsWith("secrets.") ? withoutSecret(right.permission_id, right.config, key) : undefined;
          return rest === undefined ? [] : [{ right, rest }];
        });
        if (changes.length === 0)
          throw new CapabilityError("capability.grant_not_found", `no right of ${packId} names the secret ${key}`, {
            details: { principal_id: packId },
            remedy: `rumi secret grant ${packId}`,
          });
        for (const { right, rest } of changes) await narrow(parts, packId, right, rest, { actor, reason });
        return { revoked: changes.length };
      }),
  };
}

/** Puts `config` in the place of a right's, or takes the right. One that has ended already goes too: it is never given anew. */
async function narrow(
  { clock, grants }: Pick<GrantParts, "clock" | "grants">,
  packId: PackId,
  right: Grant,
  config: JsonObject | null,
  act: { readonly actor: string; readonly reason: string | undefined },
): Promise<void> {
  const { permission_id } = right;
  const { actor, reason } = act;
  if (config === null || hasEnded(right, clock)) {
    await grants.revoke({ principal_id: packId, permission_id, actor, ...(reason === undefined ? {} : { reason }) });
    return;
  }
  await grants.grant({ principal_id: packId, permission_id, config, actor, ...termsOf(right) });
}

async function grantDeclared(parts: GrantParts, packId: PackId, actor: string): Promise<Awaited<ReturnType<GrantsPort["grantDeclared"]>>> {
  const { clock, declared, grants } = parts;
  const held = grants.list(packId)[packId] ?? [];
  const plan = planDeclared(declared.declared(packId) ?? []);
  const asks = plan.flatMap(({ permission_id, config }) => {
    if (config === null) return [];
    const right = held.find((one) => one.permission_id === permission_id && !hasEnded(one, clock));
    if (right === undefined) return [{ principal_id: packId, permission_id, config }];
    return [{ principal_id: packId, permission_id, config: joinHeld(right.config, config), ...termsOf(right) }];
  });
  const granted: { permission_id: string; config: JsonObject }[] = [];
  const warnings = plan.flatMap((right) => right.left_out.map((item) => `${right.permission_id}: ${item} is left to you`));
  for (let start = 0; start < asks.length; start += BATCH) {
    const some = asks.slice(start, start + BATCH);
    const { results } = await grants.batch(some, actor);
    for (const [index, result] of results.entries()) {
      const ask = some[index];
      if (ask === undefined) continue;
      if (result.granted) granted.push({ permission_id: ask.permission_id, config: ask.config });
      else warnings.push(`${ask.permission_id} was not granted: ${result.error ?? result.code ?? "refused"}`);
      warnings.push(...(result.warnings ?? []).map((warning) => `${ask.permission_id}: ${warning}`));
    }
  }
  return { granted, stores_created: [], warnings };
}

export function bindNetwork(parts: NetworkParts): NetworkPort {
  const { audit, gate, grants, reports, verdicts } = parts;
  const find = (packId: string): Grant | undefined => (grants.list(packId)[packId] ?? []).find((right) => right.permission_id === NETWORK);
  return {
    list() {
      const held = Object.entries(grants.list()).flatMap(([id, rights]) => {
        const right = rights.find((one) => one.permission_id === NETWORK);
        return right === undefined ? [] : [[id, networkView(id, right)] as const];
      });
      const asleep = held.flatMap(([id]) => {
        const decision = gate.gate(id as PackId);
        return decision.allowed ? [] : [[id, decision.reason] as const];
      });
      return { grants: Object.fromEntries(held), disabled_packs: Object.fromEntries(asleep) };
    },
    async grant(ask, actor) {
      const { pack_id: packId, ...config } = withoutTerms(ask);
      const given = await grants.grant({ principal_id: packId, permission_id: NETWORK, config, actor, ...termsOf(ask) });
      return { grant: networkView(packId, given.grant), undeclared: given.undeclared, warnings: given.warnings };
    },
    async revoke(packId, reason, actor) {
      const why = reason === undefined ? {} : { reason };
      const { revoked } = await grants.revoke({ principal_id: packId, permission_id: NETWORK, actor, ...why });
      return { pack_id: packId, revoked: revoked > 0 };
    },
    check: (packId, domain, port) => verdicts.check(packId, domain, port),
    async startReport(packId, seconds, actor) {
      const details = { pack_id: packId, seconds, actor, held: find(packId) !== undefined };
      await audit.record({
        category: "network",
        severity: "warning",
        action: "network_report",
        success: true,
        owner_pack: packId,
        details,
      });
      const until = reports.start(packId, seconds);
      parts.onReport?.(packId);
      return { until };
    },
    report(packId) {
      const proposed = reports.proposed(packId);
      return {
        until: reports.until(packId),
        observed: reports.observed(packId),
        proposed: proposed === null ? null : { ...proposed },
      };
    },
  };
}

export function bindSecrets(secrets: SecretStore): SecretsPort {
  return {
    list: () => ({ state: secrets.state, secrets: secrets.list() }),
    set: (key, value, actor) => secrets.set(key, value, actor),
    delete: (key, actor) => secrets.delete(key, actor),
    async rotateKey(actor) {
      const { rotated } = await secrets.rotateKey(actor);
      return { rotated };
    },
  };
}

export function bindPrivileges(privileges: HostPrivileges): PrivilegesPort {
  return {
    list: () => privileges.list(),
    async grant(packId, privilege, config, actor) {
      const given = await privileges.grant(packId, privilege, config, actor);
      return { pack_id: packId, privilege, granted: true, config: given.config, warnings: given.warnings };
    },
    revoke: (packId, privilege, actor) => privileges.revoke(packId, privilege, actor),
  };
}

/** Rights by principal, with those whose files are not to be believed. */
function recordsOf(grants: GrantBook, principal: PackId | undefined): GrantRecord[] {
  const held = grants.list(principal);
  const tampered = new Set<string>(grants.tampered().map((one) => one.principal_id));
  const ids = [...new Set([...Object.keys(held), ...tampered])].filter((id) => principal === undefined || id === principal).sort();
  return ids.map((id) => ({ principal_id: id, status: tampered.has(id) ? "tampered" : "ok", rights: held[id] ?? [] }));
}

function networkView(packId: string, right: Grant): NetworkGrantView {
  const { permission_id: _, config, ...given } = right;
  const lists = config as unknown as Pick<NetworkGrantView, "allowed_domains" | "allowed_ports">;
  return { pack_id: packId, ...lists, ...given };
}

function hasEnded(right: Grant, clock: Clock): boolean {
  return right.expires_at !== undefined && right.expires_at <= isoTime(clock.now());
}

/** How long a right is to last, and what was noted of it. */
interface Terms {
  readonly expires_at?: string | undefined;
  readonly notes?: string | undefined;
}

function termsOf({ expires_at, notes }: Terms): { expires_at?: string; notes?: string } {
  return { ...(expires_at === undefined ? {} : { expires_at }), ...(notes === undefined ? {} : { notes }) };
}

function withoutTerms<Ask extends Terms>(ask: Ask): Omit<Ask, keyof Terms> {
  const { expires_at: _, notes: __, ...rest } = ask;
  return rest;
}

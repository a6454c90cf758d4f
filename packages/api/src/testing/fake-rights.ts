import { isoTime, RumiError } from "@rumi/core";
import type { Clock, JsonObject, JsonValue } from "@rumi/core";
import * as v from "valibot";
import type { ApiDeps } from "../deps.ts";
import type { NetworkGrantView } from "../schemas/network.ts";
import { GrantBody } from "../schemas/rights.ts";
import type { DeclaredRight, GrantAnswer, GrantAsk, GrantRecord, GrantView, PackPrivileges } from "../schemas/rights.ts";
import type { SecretView } from "../schemas/secrets.ts";
import type { ShareView, StoreView } from "../schemas/stores.ts";
import { withoutSecret } from "../secret-grants.ts";

const NETWORK = "network.egress";
const MAX_BATCH = 50;

interface FakeStore {
  readonly view: StoreView;
  readonly values: Map<string, JsonValue>;
}

/** Rights, secrets and stores of a fake house, in memory: enough rules to be asked about, none of the real ones. */
export class FakeRights {
  readonly held = new Map<string, Map<string, GrantView>>();
  /** Principals whose record something else changed. */
  readonly tampered = new Set<string>();
  /** What a pack declares; a pack that is not here declares nothing. */
  readonly declared = new Map<string, readonly DeclaredRight[]>();
  readonly values = new Map<string, string>();
  readonly stores = new Map<string, FakeStore>();
  readonly shares: ShareView[] = [];
  readonly privileges = new Map<string, Map<string, JsonValue>>();
  readonly reports = new Map<string, number>();
  secretsState: "open" | "locked" = "open";
  readonly #clock: Clock;
  readonly #knows: (packId: string) => boolean;
  readonly #calls: string[];

  /** `knows`: whether there is such a pack. `calls` takes the names of the methods that change something. */
  constructor(clock: Clock, knows: (packId: string) => boolean, calls: string[]) {
    this.#clock = clock;
    this.#knows = knows;
    this.#calls = calls;
  }

  addStore(id: string, owner: string | null = null, values: Readonly<Record<string, JsonValue>> = {}): void {
    this.stores.set(id, { view: { store_id: id, owner, keys: 0, bytes: 0 }, values: new Map(Object.entries(values)) });
  }

  #record(principal: string): GrantRecord {
    const broken = this.tampered.has(principal);
    return {
      principal_id: principal,
      status: broken ? "tampered" : "ok",
      rights: broken ? [] : [...(this.held.get(principal)?.values() ?? [])],
    };
  }

  #grant(ask: GrantAsk, actor: string): GrantAnswer {
    this.#calls.push("grants.grant");
    const { principal_id: principal, permission_id: permission, config = {} } = ask;
    if (this.tampered.has(principal))
      throw new RumiError("safe_files.record_tampered", "the record was changed", { remedy: `rumi grant reset ${principal}` });
    if ("nonsense" in config) throw new RumiError("capability.invalid_config", "nonsense is not a field of this permission");
    const undeclared = (this.declared.get(principal) ?? []).some((right) => right.permission_id === permission) ? [] : [permission];
    const warnings = [
      ...(this.#knows(principal) ? [] : [`there is no pack ${principal} yet`]),
      ...(undeclared.length === 0 ? [] : ["the pack does not declare it"]),
    ];
    const own = this.held.get(principal) ?? new Map<string, GrantView>();
    const granted_at = own.get(permission)?.granted_at ?? isoTime(this.#clock.now());
    const terms = {
      ...(ask.expires_at === undefined ? {} : { expires_at: ask.expires_at }),
      ...(ask.notes === undefined ? {} : { notes: ask.notes }),
    };
    own.set(permission, { permission_id: permission, config, granted_at, granted_by: actor, undeclared, last_used_at: null, ...terms });
    this.held.set(principal, own);
    return { principal_id: principal, permission_id: permission, granted: true, config, undeclared, warnings };
  }

  #revoke(principal: string, permission: string): { revoked: number } {
    this.#calls.push("grants.revoke");
    const own = this.held.get(principal);
    const gone = permission === "*" ? [...(own?.keys() ?? [])] : own?.has(permission) === true ? [permission] : [];
    if (gone.length === 0)
      throw new RumiError("capability.grant_not_found", "there is no such grant", {
        details: { principal_id: principal, permission_id: permission },
      });
    for (const id of gone) own?.delete(id);
    return { revoked: gone.length };
  }

  #network(packId: string, right: GrantView): NetworkGrantView {
    const { permission_id: _, config, ...given } = right;
    return { pack_id: packId, ...(config as unknown as Pick<NetworkGrantView, "allowed_domains" | "allowed_ports">), ...given };
  }

  #store(id: string): FakeStore {
    const store = this.stores.get(id);
    if (store === undefined) throw new RumiError("store.not_found", "there is no such store", { details: { store_id: id } });
    return store;
  }

  #view(key: string): SecretView {
    return { key, exists: true, deleted: false, masked: "********", last_used_at: null };
  }

  ports(): Pick<ApiDeps, "grants" | "network" | "secrets" | "privileges" | "stores"> {
    return { grants: this.#grants(), network: this.#networkPort(), secrets: this.#secrets(), ...this.#hostAndStores() };
  }

  #grants(): ApiDeps["grants"] {
    return {
      list: (principal) =>
        (principal === undefined ? [...new Set([...this.held.keys(), ...this.tampered])].sort() : [principal])
          .map((id) => this.#record(id))
          .filter((record) => record.rights.length > 0 || record.status === "tampered"),
      grant: (ask, actor) => this.#grant(ask, actor),
      revoke: (ask) => this.#revoke(ask.principal_id, ask.permission_id),
      batch: (asks, actor) => {
        if (asks.length > MAX_BATCH) throw new RumiError("capability.batch_too_large", `a batch has at most ${MAX_BATCH} grants`);
        const results = asks.map((ask) => {
          const text = (value: unknown): string => (typeof value === "string" ? value : "");
          const names = { principal_id: text(ask["principal_id"]), permission_id: text(ask["permission_id"]) };
          const parsed = v.safeParse(GrantBody, ask);
          if (!parsed.success) return { ...names, granted: false, code: "capability.invalid_config", error: "not valid" };
          try {
            this.#grant(parsed.output, actor);
            return { ...names, granted: true, code: null, error: null };
          } catch (error) {
            if (!(error instanceof RumiError)) throw error;
            return { ...names, granted: false, code: error.code, error: error.message };
          }
        });
        const succeeded = results.filter((result) => result.granted).length;
        return { total: asks.length, succeeded, failed: asks.length - succeeded, results };
      },
      reset: (principal) => {
        if (!this.tampered.delete(principal))
          throw new RumiError("capability.grant_not_found", "the record is intact", { details: { principal_id: principal } });
        return { principal_id: principal, reset: ["capabilities"] };
      },
      grantDeclared: (packId, actor) => {
        const plan = this.declared.get(packId) ?? [];
        const granted = plan.filter((right) => right.config !== null);
        for (const right of granted)
          this.#grant({ principal_id: packId, permission_id: right.permission_id, config: right.config ?? {} } as GrantAsk, actor);
        const left = plan.flatMap((right) => right.left_out.map((item) => `${right.permission_id}: ${item} was not granted`));
        return { granted: granted.map(({ permission_id, config }) => ({ permission_id, config })), stores_created: [], warnings: left };
      },
      withdrawSecret: ({ pack_id: packId, key }) => {
        let revoked = 0;
        for (const [permission, right] of this.held.get(packId) ?? []) {
          const rest = permission.startsWith("secrets.") ? withoutSecret(permission, right.config, key) : undefined;
          if (rest === undefined) continue;
          if (rest === null) this.held.get(packId)?.delete(permission);
          else this.held.get(packId)?.set(permission, { ...right, config: rest });
          revoked += 1;
        }
        if (revoked === 0)
          throw new RumiError("capability.grant_not_found", "no right of this pack names that secret", {
            details: { principal_id: packId },
          });
        return { revoked };
      },
    };
  }

  #networkPort(): ApiDeps["network"] {
    return {
      list: () => ({
        grants: Object.fromEntries(
          [...this.held].flatMap(([id, rights]) => {
            const right = rights.get(NETWORK);
            return right === undefined ? [] : [[id, this.#network(id, right)]];
          }),
        ),
        disabled_packs: Object.fromEntries(
          [...this.held].filter(([id, rights]) => rights.has(NETWORK) && !this.#knows(id)).map(([id]) => [id, "Pack is not approved"]),
        ),
      }),
      grant: (ask, actor) => {
        const { pack_id: packId, expires_at, notes, ...config } = ask;
        const terms = { ...(expires_at === undefined ? {} : { expires_at }), ...(notes === undefined ? {} : { notes }) };
        const wanted = { principal_id: packId, permission_id: NETWORK, config: config as unknown as JsonObject, ...terms } as GrantAsk;
        const { undeclared, warnings } = this.#grant(wanted, actor);
        const right = this.held.get(packId)?.get(NETWORK) as GrantView;
        return { grant: this.#network(packId, right), undeclared, warnings };
      },
      revoke: (packId) => {
        this.#revoke(packId, NETWORK);
        return { pack_id: packId, revoked: true };
      },
      check: (packId, domain, port) => {
        const right = this.held.get(packId)?.get(NETWORK);
        const { allowed_domains: domains = [], allowed_ports: ports = [] } = (right?.config ?? {}) as Record<string, JsonValue[]>;
        const covers = (list: readonly JsonValue[], item: JsonValue): boolean => list.includes("*") || list.includes(item);
        const reason =
          right === undefined
            ? "No network grant for this pack"
            : !covers(domains, domain)
              ? "Domain not in allowed list"
              : covers(ports, port)
                ? "Access granted"
                : "Port not in allowed list";
        return { allowed: reason === "Access granted", reason, pack_id: packId, domain, port };
      },
      startReport: (packId, seconds) => {
        this.#calls.push("network.startReport");
        this.reports.set(packId, seconds);
        return { until: seconds === 0 ? null : isoTime(this.#clock.now() + seconds * 1000) };
      },
      report: () => ({
        until: null,
        observed: [{ domain: "api.example.com", port: 443, count: 2, would_allow: false, last_at: isoTime(this.#clock.now()) }],
        proposed: { allowed_domains: ["api.example.com"], allowed_ports: [443] },
      }),
    };
  }

  #secrets(): ApiDeps["secrets"] {
    return {
      list: () => ({ state: this.secretsState, secrets: [...this.values.keys()].sort().map((key) => this.#view(key)) }),
      set: (key, value) => {
        this.#calls.push("secrets.set");
        if (this.secretsState === "locked") throw new RumiError("secrets.locked", "the secrets key is gone");
        if (Buffer.byteLength(value) < 4) throw new RumiError("secrets.too_short", "a value has at least 4 bytes");
        if (Buffer.byteLength(value) > 65_536) throw new RumiError("secrets.too_large", "a value has at most 64 KiB");
        const created = !this.values.has(key);
        this.values.set(key, value);
        return { key, created, warnings: value.length < 8 ? ["a value under 8 bytes is never brokered"] : [] };
      },
      delete: (key) => {
        this.#calls.push("secrets.delete");
        if (!this.values.delete(key)) throw new RumiError("secrets.not_found", "there is no such secret", { details: { key } });
      },
      rotateKey: () => {
        this.#calls.push("secrets.rotateKey");
        return { rotated: this.values.size };
      },
    };
  }

  #hostAndStores(): Pick<ApiDeps, "privileges" | "stores"> {
    return {
      privileges: {
        list: () =>
          [...this.privileges].map(([id, own]): PackPrivileges => ({
            pack_id: id,
            privileges: [...own].map(([privilege, config]) => ({ privilege, config })),
          })),
        grant: (packId, privilege, config = null) => {
          this.#calls.push("privileges.grant");
          if (JSON.stringify(config).includes('"*"')) throw new RumiError("capability.invalid_config", "each has to be named");
          this.privileges.set(packId, (this.privileges.get(packId) ?? new Map<string, JsonValue>()).set(privilege, config));
          return { pack_id: packId, privilege, granted: true, config, warnings: [] };
        },
        revoke: (packId, privilege) => {
          if (this.privileges.get(packId)?.delete(privilege) !== true)
            throw new RumiError("capability.grant_not_found", "there is no such privilege", {
              details: { principal_id: packId },
              remedy: "rumi privilege list",
            });
        },
      },
      stores: {
        list: () => [...this.stores.values()].map(({ view, values }) => ({ ...view, keys: values.size })),
        keys: (id, { prefix, limit }) => {
          const keys = [...this.#store(id).values.keys()].filter((key) => key.startsWith(prefix)).sort();
          return { keys: keys.slice(0, limit), next_cursor: keys.length > limit ? "more" : null, total_estimate: keys.length };
        },
        value: (id, key) => this.#store(id).values.get(key),
        create: (ask) => {
          this.#calls.push("stores.create");
          if (this.stores.has(ask.store_id)) throw new RumiError("store.exists", "there is such a store");
          this.addStore(ask.store_id);
        },
        delete: (id, { force }) => {
          this.#calls.push("stores.delete");
          if (this.#store(id).values.size > 0 && !force)
            throw new RumiError("store.conflict", "the store holds keys", { remedy: `rumi store delete ${id} --force` });
          this.stores.delete(id);
        },
        import: (id) => {
          this.#calls.push("stores.import");
          this.#store(id);
          return { imported: 1, skipped: 0, errors: [] };
        },
        shares: () => this.shares,
        share: (ask) => {
          this.#calls.push("stores.share");
          const { owner } = this.#store(ask.store_id).view;
          if (owner !== ask.provider_pack_id) throw new RumiError("store.owner_mismatch", "the store is not that pack's");
          this.shares.push({ ...ask, approved_at: isoTime(this.#clock.now()), approved_by: "test" });
        },
        unshare: (ask) => {
          const at = this.shares.findIndex((one) => one.store_id === ask.store_id && one.consumer_pack_id === ask.consumer_pack_id);
          if (at === -1) throw new RumiError("store.not_found", "there is no such share", { remedy: "rumi store list --shared" });
          this.shares.splice(at, 1);
        },
      },
    };
  }
}

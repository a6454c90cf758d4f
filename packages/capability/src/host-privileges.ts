import { join } from "node:path";
import { isoTime, PackId } from "@rumi/core";
import type { AuditSink, Clock, DiagnosticsSink } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";
import { CapabilityError } from "./errors.ts";
import { permissionEvent, refuse } from "./grant-events.ts";
import { isPrincipal } from "./grant-files.ts";
import { checkMounts, checkNames, HostMount } from "./privilege-config.ts";
import { SignedRecord } from "./signed-record.ts";

/** Host powers of a pack that only an admin gives. Source: page "Trust", section 6. */
export const HOST_PRIVILEGES = ["host.execute", "host.mount", "allow_wildcard_modifiers"] as const;
export type HostPrivilege = (typeof HOST_PRIVILEGES)[number];

const Config = v.nullable(v.union([v.array(v.string()), v.array(HostMount)]));
const Held = v.strictObject({
  pack_id: PackId,
  privilege: v.picklist(HOST_PRIVILEGES),
  config: Config,
  granted_at: v.string(),
  granted_by: v.string(),
});
type Held = v.InferOutput<typeof Held>;
const File = v.strictObject({ privileges: v.array(Held) });

/** One privilege of a pack. */
export interface PrivilegeView {
  readonly privilege: HostPrivilege;
  /** `host.execute`: ids of handlers or units; `host.mount`: mounts; else null. */
  readonly config: readonly string[] | readonly HostMount[] | null;
  readonly granted_at: string;
  readonly granted_by: string;
}

/** Hears which privilege of which pack changed. Must not throw. */
export type PrivilegeListener = (privilege: HostPrivilege, pack: PackId) => void | Promise<void>;

export interface HostPrivilegesDeps {
  /** Loaded already. */
  readonly signed: SignedFiles;
  readonly userData: string;
  /** Folders that no mount may show, nor lie around: the project and `user_data`. */
  readonly forbiddenSources: readonly string[];
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** Host powers that an admin gave to packs, each for that pack alone. A tampered file: nobody has any. */
export class HostPrivileges {
  readonly #deps: HostPrivilegesDeps;
  readonly #record: SignedRecord<v.InferOutput<typeof File>>;
  #held: readonly Held[] = [];
  #writing: Promise<unknown> = Promise.resolve();
  readonly #listeners = new Set<PrivilegeListener>();

  constructor(deps: HostPrivilegesDeps) {
    this.#deps = deps;
    const path = join(deps.userData, "permissions", "host_privileges.json");
    this.#record = new SignedRecord(deps, { kind: "host_privileges", path, form: File, remedy: "rumi privilege list" });
  }

  async load(): Promise<void> {
    this.#held = (await this.#record.read())?.privileges ?? [];
  }

  /**
   * Gives a privilege, or replaces it. `config`: for `host.execute` a list of ids, each named; for `host.mount` a list of
   * mounts; else nothing. @throws CapabilityError `capability.invalid_config`, RumiError `audit.unavailable`: nothing changed
   */
  grant(pack: string, privilege: string, config: unknown, actor: string): Promise<PrivilegeView & { warnings: readonly string[] }> {
    return this.#act("grant", pack, privilege, actor, async (packId, name) => {
      const kept = await this.#checked(name, config);
      const before = this.#find(packId, name);
      const granted_at = before?.granted_at ?? isoTime(this.#deps.clock.now());
      const held: Held = { pack_id: packId, privilege: name, config: kept, granted_at, granted_by: actor };
      await this.#write([...this.#held.filter((other) => other !== before), held], "grant", held, actor);
      return { ...view(held), warnings: [WARNINGS[name]] };
    });
  }

  /** @throws CapabilityError `capability.grant_not_found`, RumiError `audit.unavailable`: nothing changed */
  revoke(pack: string, privilege: string, actor: string): Promise<void> {
    return this.#act("revoke", pack, privilege, actor, async (packId, name) => {
      const held = this.#find(packId, name);
      if (held === undefined) throw new CapabilityError("capability.grant_not_found", `${packId} does not have ${name}`);
      await this.#write(
        this.#held.filter((other) => other !== held),
        "revoke",
        held,
        actor,
      );
    });
  }

  list(): { pack_id: PackId; privileges: PrivilegeView[] }[] {
    const packs = [...new Set(this.#held.map((held) => held.pack_id))].sort();
    return packs.map((pack_id) => ({ pack_id, privileges: this.#held.filter((held) => held.pack_id === pack_id).map(view) }));
  }

  has(pack: PackId, privilege: HostPrivilege): boolean {
    return this.#find(pack, privilege) !== undefined;
  }

  /** May this handler or unit of the pack run on the host? Only one that is named. */
  mayExecute(pack: PackId, id: string): boolean {
    const config = this.#find(pack, "host.execute")?.config;
    return Array.isArray(config) && config.some((named) => named === id);
  }

  /** Folders of the host that the pack's handlers see. Their sources were real when they were granted: look again. */
  mounts(pack: PackId): readonly HostMount[] {
    const config = this.#find(pack, "host.mount")?.config ?? [];
    return config.filter((mount): mount is HostMount => typeof mount === "object");
  }

  /** Tells of every privilege that came, changed or went; who gave or took it is answered when every listener is done. */
  onChange(listener: PrivilegeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #find(pack: PackId, privilege: HostPrivilege): Held | undefined {
    return this.#held.find((held) => held.pack_id === pack && held.privilege === privilege);
  }

  async #checked(privilege: HostPrivilege, config: unknown): Promise<Held["config"]> {
    if (privilege === "host.execute") return checkNames(config);
    if (privilege === "host.mount") return checkMounts(config, this.#deps.forbiddenSources);
    if (config === undefined || config === null || JSON.stringify(config) === "{}") return null;
    throw new CapabilityError("capability.invalid_config", `${privilege} has no config`);
  }

  async #write(next: readonly Held[], action: "grant" | "revoke", held: Held, actor: string): Promise<void> {
    const event = permissionEvent(action, facts(held.pack_id, held.privilege, actor), { config: held.config });
    await this.#record.write({ privileges: next }, { ...event, severity: "warning" });
    this.#held = next;
    await Promise.all([...this.#listeners].map(async (listener) => listener(held.privilege, held.pack_id)));
  }

  /** One act at a time; what it refuses is audited. */
  #act<T>(
    action: string,
    pack: string,
    privilege: string,
    actor: string,
    work: (pack: PackId, privilege: HostPrivilege) => Promise<T>,
  ): Promise<T> {
    const turn = this.#writing.then(async () => {
      try {
        const name = HOST_PRIVILEGES.find((known) => known === privilege);
        if (!isPrincipal(pack)) throw new CapabilityError("capability.invalid_config", "that is no pack id");
        if (name === undefined) throw new CapabilityError("capability.invalid_config", "there is no such privilege");
        return await work(pack, name);
      } catch (cause) {
        if (!(cause instanceof CapabilityError)) throw cause;
        return await refuse(this.#deps.audit, action, facts(pack, privilege, actor), cause);
      }
    });
    this.#writing = turn.catch(() => undefined);
    return turn;
  }
}

const WARNINGS: Readonly<Record<HostPrivilege, string>> = {
  "host.execute": "these programs run on this machine itself, without any wall",
  "host.mount": "handlers of this pack see these folders of this machine",
  allow_wildcard_modifiers: "this pack may change flows of every other pack",
};

function facts(principal_id: string, permission_id: string, actor: string) {
  return { permission_type: "host_privilege", principal_id, permission_id, actor };
}

function view({ privilege, config, granted_at, granted_by }: Held): PrivilegeView {
  return { privilege, config, granted_at, granted_by };
}

import { principalChain } from "@rumi/core";
import type { Clock, JsonObject, JsonValue, PackId, PermissionId } from "@rumi/core";
import { foldGrants } from "./fold-grants.ts";
import type { GrantRecord } from "./grant.ts";
import { folderOf, type GrantFolder } from "./grant-files.ts";
import type { GrantSpecs } from "./grant-specs.ts";
import { useLevel, type UseLevel } from "./use-counters.ts";

/** A right at work: what all levels together allow. */
export interface EffectiveGrant {
  /** Never an alias. */
  readonly permission_id: PermissionId;
  /** Folded, defaults filled in. Frozen. */
  readonly config: JsonObject;
  /** Limits of each level, for `GrantBook.take`. */
  readonly levels: readonly UseLevel[];
}

/** How a right stands over all levels of a principal. */
export type FoldState =
  /** This level holds no such grant. */
  | { readonly state: "missing"; readonly principal: PackId }
  /** This level's grant is over. */
  | { readonly state: "expired"; readonly principal: PackId; readonly grant: GrantRecord }
  | { readonly state: "conflict"; readonly conflict: string }
  | ({ readonly state: "ok" } & EffectiveGrant);

interface Cached {
  readonly grant: FoldState & { readonly state: "ok" };
  /** The earliest end of any level, ms. */
  readonly endsAt: number;
}

/** Every grant, in memory, and what the levels of a principal amount to. */
export class HeldGrants {
  readonly #specs: GrantSpecs;
  readonly #clock: Clock;
  readonly #held = new Map<PackId, Map<PermissionId, GrantRecord>>();
  /** Only rights that are held: bounded by them. */
  readonly #cache = new Map<string, Cached>();

  constructor(deps: { readonly specs: GrantSpecs; readonly clock: Clock }) {
    this.#specs = deps.specs;
    this.#clock = deps.clock;
  }

  principals(): PackId[] {
    return [...this.#held.keys()].sort();
  }

  get(principal: PackId, permission: PermissionId): GrantRecord | undefined {
    return this.#held.get(principal)?.get(permission);
  }

  /** Grants of a principal that lie in one folder, or in both. */
  of(principal: PackId, folder?: GrantFolder): GrantRecord[] {
    const grants = [...(this.#held.get(principal)?.values() ?? [])];
    return folder === undefined ? grants : grants.filter((grant) => folderOf(grant.permission_id) === folder);
  }

  /** What one folder of a principal holds from now on. */
  put(principal: PackId, folder: GrantFolder, grants: readonly GrantRecord[]): void {
    const others = this.of(principal).filter((grant) => folderOf(grant.permission_id) !== folder);
    const all = [...others, ...grants];
    if (all.length === 0) this.#held.delete(principal);
    else this.#held.set(principal, new Map(all.map((grant) => [grant.permission_id, grant])));
    this.#cache.clear();
  }

  /** Expiry is judged now. */
  fold(principal: PackId, permission: PermissionId): FoldState {
    const key = `${principal}/${permission}`;
    const now = this.#clock.now();
    const cached = this.#cache.get(key);
    if (cached !== undefined && now < cached.endsAt) return cached.grant;
    const levels = principalChain(principal).map((level) => ({ level, grant: this.get(level, permission) }));
    const missing = levels.find(({ grant }) => grant === undefined);
    if (missing !== undefined) return { state: "missing", principal: missing.level };
    const expired = levels.find(({ grant }) => endOf(grant) <= now);
    if (expired?.grant !== undefined) return { state: "expired", principal: expired.level, grant: expired.grant };
    const { defaults } = this.#specs.find(permission);
    const folded = foldGrants(levels.map(({ grant }) => ({ ...defaults, ...grant?.config })));
    if (!folded.ok) return { state: "conflict", conflict: folded.conflict };
    const grant = {
      state: "ok",
      permission_id: permission,
      config: freeze(folded.config),
      levels: levels.map(({ level, grant: own }) => useLevel(level, own?.config ?? {})),
    } as const;
    this.#cache.set(key, { grant, endsAt: Math.min(...levels.map(({ grant: own }) => endOf(own))) });
    return grant;
  }
}

/** When a grant is over, ms; a time that cannot be read is over already. */
function endOf(grant: GrantRecord | undefined): number {
  if (grant?.expires_at === undefined) return Infinity;
  const end = Date.parse(grant.expires_at);
  return Number.isNaN(end) ? 0 : end;
}

function freeze<Value extends JsonValue>(value: Value): Value {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
}

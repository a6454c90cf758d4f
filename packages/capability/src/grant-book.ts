import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Clock, Decision, DiagnosticsSink, PackId, PermissionId } from "@rumi/core";
import { SafeFilesError } from "@rumi/safe-files";
import type { SignedFiles } from "@rumi/safe-files";
import { CapabilityError, type CapabilityErrorCode } from "./errors.ts";
import type { BatchAnswer, Grant, GrantAnswer, GrantAsk, GrantChange, GrantRecord } from "./grant.ts";
import { checkAsk, findSpec, parsePrincipal, type CheckedAsk } from "./grant-ask.ts";
import { permissionEvent, permissionType, refuse, type RightFacts } from "./grant-events.ts";
import { folderOf, GRANT_FOLDERS, GrantFiles, type GrantFolder } from "./grant-files.ts";
import { grantWarnings, undeclaredOf, viewGrant, type GrantViewDeps } from "./grant-views.ts";
import { decideGrant } from "./grant-decision.ts";
import { HeldGrants, type EffectiveGrant, type FoldState } from "./held-grants.ts";
import { TamperedGrants } from "./tampered-grants.ts";

/** Most grants of one batch. Source: page "Trust", section 6. */
export const MAX_BATCH = 50;

export interface GrantBookDeps extends GrantViewDeps {
  /** Loaded already. */
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** What `grant` refuses with. */
type GrantRefusal = CapabilityError | SafeFilesError;

/**
 * Who holds which right: signed files, one per principal and folder, judged from memory. Every change is in the audit
 * log before it is on disk, and on disk before it counts; a revoked right stops counting before its file is written.
 */
export class GrantBook {
  readonly #deps: GrantBookDeps;
  readonly #files: GrantFiles;
  readonly #held: HeldGrants;
  readonly #tampered: TamperedGrants;
  /** Grants whose end was told. */
  readonly #ended = new WeakSet<GrantRecord>();
  readonly #listeners = new Set<(change: GrantChange) => void>();
  #writing: Promise<unknown> = Promise.resolve();

  constructor(deps: GrantBookDeps) {
    this.#deps = deps;
    this.#files = new GrantFiles(deps);
    this.#held = new HeldGrants(deps);
    this.#tampered = new TamperedGrants(deps);
  }

  /** Reads every file. A tampered one is told, and its principal holds nothing of that folder until `reset`. */
  load(): Promise<void> {
    return this.#inTurn(async () => {
      for (const folder of GRANT_FOLDERS) {
        for (const principal of await this.#files.principals(folder)) await this.#read(folder, principal);
      }
    });
  }

  /**
   * Gives a right, or replaces it. The answer says what the pack did not ask for, and what else is remarkable.
   * @throws CapabilityError `capability.invalid_config`, SafeFilesError `safe_files.record_tampered` `safe_files.locked`,
   * RumiError `audit.unavailable`: nothing changed
   */
  grant(ask: GrantAsk): Promise<GrantAnswer> {
    return this.#inTurn(async () => {
      const { actor, ...terms } = ask;
      const facts = this.#facts(terms.principal_id, terms.permission_id, actor);
      const checked = await this.#orRefuse("grant", facts, () => checkAsk(terms, this.#deps.specs, this.#deps.clock.now()));
      return this.#give(checked, actor);
    });
  }

  /**
   * Takes a right, or all of them with `"*"`, network too.
   * @throws CapabilityError `capability.grant_not_found`, SafeFilesError `safe_files.record_tampered`, RumiError `audit.unavailable`
   */
  revoke(ask: {
    readonly principal_id: string;
    readonly permission_id: string;
    readonly reason?: string;
    readonly actor: string;
  }): Promise<{ revoked: number }> {
    return this.#inTurn(async () => {
      const { actor } = ask;
      const all = ask.permission_id === "*";
      const action = all ? "revoke_all" : "revoke";
      const facts = this.#facts(ask.principal_id, ask.permission_id, actor);
      const { principal, gone } = await this.#orRefuse(action, facts, () => {
        const holder = parsePrincipal(ask.principal_id);
        const permission = all ? null : findSpec(ask.permission_id, this.#deps.specs).permission_id;
        for (const folder of permission === null ? GRANT_FOLDERS : [folderOf(permission)]) this.#tampered.assertIntact(folder, holder);
        const held = this.#held.of(holder).filter((grant) => permission === null || grant.permission_id === permission);
        if (held.length === 0) throw notFound(`${holder} holds no grant of ${permission ?? "anything"}`);
        return { principal: holder, gone: held };
      });
      for (const folder of GRANT_FOLDERS) {
        const taken = gone.filter((grant) => folderOf(grant.permission_id) === folder);
        if (taken.length > 0) await this.#take(folder, principal, taken, action, { ...facts, reason: ask.reason ?? null });
      }
      return { revoked: gone.length };
    });
  }

  /** Up to 50 grants, each for itself. @throws CapabilityError `capability.batch_too_large`: none was granted */
  async batch(grants: readonly unknown[], actor: string): Promise<BatchAnswer> {
    const { audit } = this.#deps;
    const facts = { permission_type: "capability_grant", principal_id: "*", permission_id: "*", actor };
    if (grants.length > MAX_BATCH) {
      const error = new CapabilityError("capability.batch_too_large", `a batch has at most ${MAX_BATCH} grants`);
      return refuse(audit, "batch", facts, error);
    }
    const results: BatchAnswer["results"][number][] = [];
    for (const item of grants) results.push(await this.#grantOne(item, actor));
    const succeeded = results.filter((result) => result.granted).length;
    const counts = { total: results.length, succeeded, failed: results.length - succeeded };
    const { principal_id: _, permission_id: __, ...rest } = facts;
    await audit.record({ category: "permission", action: "batch", success: counts.failed === 0, details: { ...rest, ...counts } });
    return { ...counts, results };
  }

  /**
   * Drops the tampered files of a principal: it holds nothing of these folders, and may be granted rights anew.
   * @throws CapabilityError `capability.grant_not_found` when none is tampered
   */
  reset(principalId: string, actor: string): Promise<{ principal_id: PackId; reset: GrantFolder[] }> {
    return this.#inTurn(async () => {
      const facts = this.#facts(principalId, "*", actor);
      const principal = await this.#orRefuse("reset", facts, () => {
        const holder = parsePrincipal(principalId);
        if (GRANT_FOLDERS.every((folder) => !this.#tampered.has(folder, holder))) {
          throw notFound(`the grants of ${holder} are intact; rights are taken with revoke`);
        }
        return holder;
      });
      const reset = GRANT_FOLDERS.filter((folder) => this.#tampered.has(folder, principal));
      for (const folder of reset) {
        const event = permissionEvent("reset", { ...facts, permission_type: folder === "network" ? "network_grant" : "capability_grant" });
        await this.#files.write(folder, principal, [], () => this.#deps.audit.record(event));
        this.#tampered.clear(folder, principal);
      }
      return { principal_id: principal, reset };
    });
  }

  /** Every grant, network too, by principal; expired ones are still there. */
  list(principal?: string): Record<string, Grant[]> {
    const wanted = this.#held.principals().filter((id) => principal === undefined || id === principal);
    return Object.fromEntries(wanted.map((id) => [id, this.#held.of(id).map((grant) => viewGrant(this.#deps, id, grant))]));
  }

  /** Principals whose files are not to be believed, with the folder of each. */
  tampered(): { readonly principal_id: PackId; readonly folder: GrantFolder }[] {
    return this.#tampered.list();
  }

  /** What all levels together allow now; expiry is judged now. `permission` may be an alias. Memory only, microseconds. */
  effective(principal: PackId, permission: PermissionId): Decision<EffectiveGrant, CapabilityErrorCode> {
    const spec = this.#deps.specs.find(permission);
    return decideGrant(spec, principal, this.fold(principal, spec.permission_id));
  }

  /** How a right stands, for those who name the reason in their own words. `permission` is no alias. */
  fold(principal: PackId, permission: PermissionId): FoldState {
    const fold = this.#held.fold(principal, permission);
    if (fold.state === "expired") this.#tellEnd(fold.principal, fold.grant);
    return fold;
  }

  /** Takes one use of a right that `effective` gave: false when a limit of any level is reached. */
  take(principal: PackId, grant: EffectiveGrant): boolean {
    const now = this.#deps.clock.now();
    if (!this.#deps.uses.take(grant.levels, grant.permission_id, now)) return false;
    this.#deps.uses.note(principal, grant.permission_id, now);
    return true;
  }

  /** Tells every right that came, changed, went or ended. Returns how to stop. */
  onChange(listener: (change: GrantChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #give(checked: CheckedAsk, actor: string): Promise<GrantAnswer> {
    const { principal, spec, config, expires_at, notes } = checked;
    const { audit, clock, uses } = this.#deps;
    const { permission_id } = spec;
    const folder = folderOf(permission_id);
    const facts = this.#facts(principal, permission_id, actor);
    await this.#orRefuse("grant", facts, () => this.#tampered.assertIntact(folder, principal));
    const before = this.#held.get(principal, permission_id);
    const undeclared = undeclaredOf(this.#deps, principal, permission_id, config);
    const grant: GrantRecord = {
      permission_id,
      config,
      granted_at: before?.granted_at ?? isoTime(clock.now()),
      granted_by: actor,
      ...(expires_at === undefined ? {} : { expires_at }),
      ...(notes === undefined ? {} : { notes }),
      undeclared,
    };
    const others = this.#held.of(principal, folder).filter((other) => other.permission_id !== permission_id);
    // Before the file: a grant without its counter counts as used up.
    uses.begin(principal, permission_id);
    const event = permissionEvent("grant", facts, { config, undeclared, expires_at: expires_at ?? null });
    await this.#files.write(folder, principal, [...others, grant], () => audit.record(event));
    this.#held.put(principal, folder, [...others, grant]);
    this.#tell({ principal_id: principal, permission_id });
    const holds = (level: PackId): boolean => this.#held.get(level, permission_id) !== undefined;
    const warnings = [...checked.warnings, ...grantWarnings(this.#deps, principal, grant, holds)];
    return {
      principal_id: principal,
      permission_id,
      granted: true,
      config,
      grant: viewGrant(this.#deps, principal, grant),
      undeclared,
      warnings,
    };
  }

  async #take(
    folder: GrantFolder,
    principal: PackId,
    gone: readonly GrantRecord[],
    action: string,
    facts: RightFacts & { readonly reason: string | null },
  ): Promise<void> {
    const rest = this.#held.of(principal, folder).filter((grant) => !gone.includes(grant));
    await this.#files.write(folder, principal, rest, async () => {
      for (const { permission_id } of gone) {
        const { reason, ...right } = { ...facts, permission_id, permission_type: permissionType(permission_id) };
        await this.#deps.audit.record(permissionEvent(action, right, { reason }));
      }
      this.#held.put(principal, folder, rest);
    });
    for (const { permission_id } of gone) {
      this.#deps.uses.forget(principal, permission_id);
      this.#tell({ principal_id: principal, permission_id });
    }
  }

  async #grantOne(item: unknown, actor: string): Promise<BatchAnswer["results"][number]> {
    const ask = (typeof item === "object" && item !== null ? item : {}) as Partial<Record<keyof GrantAsk, unknown>>;
    const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, 200) : "");
    const names = { principal_id: text(ask.principal_id), permission_id: text(ask.permission_id) };
    try {
      const { undeclared, warnings } = await this.grant({ ...ask, actor } as GrantAsk);
      return { ...names, granted: true, code: null, error: null, undeclared, warnings };
    } catch (cause) {
      if (!(cause instanceof RumiError)) throw cause;
      return { ...names, granted: false, code: cause.code, error: cause.message };
    }
  }

  async #read(folder: GrantFolder, principal: PackId): Promise<void> {
    const stored = await this.#files.read(folder, principal);
    this.#held.put(principal, folder, stored.state === "ok" ? stored.grants : []);
    if (stored.state === "tampered") await this.#tampered.add(folder, principal, stored.reason);
  }

  /** Audits what `check` refuses. */
  async #orRefuse<T>(action: string, facts: RightFacts, check: () => T): Promise<T> {
    try {
      return check();
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      return refuse(this.#deps.audit, action, facts, cause);
    }
  }

  #facts(principal: unknown, permission: unknown, actor: string): RightFacts {
    const permission_id = typeof permission === "string" ? permission : "";
    return {
      permission_type: permissionType(permission_id),
      principal_id: typeof principal === "string" ? principal : "",
      permission_id,
      actor,
    };
  }

  /** Once per grant, when somebody asks after its end. */
  #tellEnd(principal: PackId, grant: GrantRecord): void {
    if (this.#ended.has(grant)) return;
    this.#ended.add(grant);
    const { permission_id } = grant;
    const facts = { permission_type: permissionType(permission_id), principal_id: principal, permission_id, actor: "clock" };
    // The end holds with or without its entry.
    void this.#deps.audit.record(permissionEvent("expire", facts, { expires_at: grant.expires_at ?? null })).catch(() => undefined);
    this.#tell({ principal_id: principal, permission_id });
  }

  #tell(change: GrantChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  /** One act at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(work);
    this.#writing = turn.catch(() => undefined);
    return turn;
  }
}

function notFound(message: string): CapabilityError {
  return new CapabilityError("capability.grant_not_found", message, { remedy: "rumi grant list" });
}

function isRefusal(cause: unknown): cause is GrantRefusal {
  return cause instanceof CapabilityError || cause instanceof SafeFilesError;
}

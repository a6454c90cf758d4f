import { isoTime, PackId } from "@rumi/core";
import type { AuditSink, Clock, Decision, DiagnosticsSink, StoreId } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";
import type { CreateAsk, DeclareAnswer, DeclaredStore, ShareAsk } from "./asks.ts";
import { StoreError, storeNotFound, type StoreErrorCode } from "./errors.ts";
import { DEFAULT_QUOTA } from "./limits.ts";
import type { KvStore, StoreQuota, StoreRecord } from "./ports.ts";
import { missingShare, ShareBook, type Share, type ShareMode } from "./shares.ts";
import { auditRefusals, shareEvent, storeEvent } from "./store-events.ts";
import { checkRootPath, declaredStoreId, MAX_DECLARED_STORES, parseStoreId } from "./store-names.ts";

/** Collaborators of `StoreRegistry`. */
export interface StoreRegistryDeps {
  readonly kv: KvStore;
  /** For `stores/sharing.json`, kind `sharing`. */
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/**
 * Which stores there are, whose they are, and who else may use them. Rights are answered from memory; acts come one after the
 * other. To make a store gives nobody a right to it.
 */
export class StoreRegistry {
  readonly #deps: StoreRegistryDeps;
  readonly #book: ShareBook;
  /** Owner by store. Null while the storage cannot be read. */
  #owners: Map<string, PackId | null> | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: StoreRegistryDeps) {
    this.#deps = deps;
    this.#book = new ShareBook(deps);
  }

  /** Reads stores and shares. Fails soft: what cannot be read is reported, and nobody holds a right in it. */
  async load(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#readOwners().catch((error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
      });
      await this.#book.load();
    });
  }

  /** Makes an operator's store. @throws StoreError `store.invalid_id` `store.invalid_root` `store.exists` */
  create(ask: CreateAsk): Promise<{ readonly store_id: StoreId }> {
    const { store_id: name, root_path = null, actor } = ask;
    return this.#act("store_create", { store_id: name, actor }, async () => {
      const store_id = parseStoreId(name);
      if (root_path !== null) checkRootPath(root_path);
      await this.#make(store_id, null, ask, actor, root_path);
      return { store_id };
    });
  }

  /**
   * Makes the stores that a pack's approved manifest names, as `<pack>__<id>`. What the manifest says wrong is refused store by
   * store, never thrown; more than 10: none is made. @throws StoreError `store.unavailable`
   */
  async declare(packId: PackId, stores: readonly DeclaredStore[], actor = "approval"): Promise<DeclareAnswer> {
    const created: StoreId[] = [];
    const kept: StoreId[] = [];
    const refused: { store_id: string; code: StoreErrorCode; reason: string }[] = [];
    for (const declared of stores) {
      const details = { store_id: declared.store_id, pack_id: packId, actor };
      try {
        await this.#act("store_create", details, async () => {
          if (stores.length > MAX_DECLARED_STORES) {
            throw new StoreError("store.quota_exceeded", `a pack may declare ${MAX_DECLARED_STORES} stores at most`);
          }
          const store = declaredStoreId(packId, declared.store_id);
          if (await this.#adopt(store, packId, declared, actor)) created.push(store);
          else kept.push(store);
        });
      } catch (error) {
        if (!(error instanceof StoreError) || error.code === "store.unavailable") throw error;
        refused.push({ store_id: declared.store_id, code: error.code, reason: error.message });
      }
    }
    return { created, kept, refused };
  }

  /**
   * Removes a store with all it holds, and its shares.
   * @throws StoreError `store.not_found`; `store.conflict` when it holds keys and `force` is not said
   */
  delete(storeId: string, options: { readonly force?: boolean | undefined }, actor: string): Promise<{ readonly store_id: StoreId }> {
    return this.#act("store_delete", { store_id: storeId, actor }, async () => {
      const { store_id, owner } = await this.#find(storeId);
      const { keys, bytes } = await this.#deps.kv.usage(store_id);
      if (keys > 0 && options.force !== true) {
        throw new StoreError("store.conflict", `the store ${store_id} holds ${keys} keys`, {
          details: { store_id, keys },
          remedy: `rumi store delete ${store_id} --force`,
        });
      }
      for (const share of this.#book.all.filter((each) => each.store_id === store_id)) await this.#takeBack(share, actor);
      await this.#deps.kv.drop(store_id);
      this.#owners?.delete(store_id);
      await this.#deps.audit.record(storeEvent("store_delete", { store_id, keys, bytes, actor }, owner));
      return { store_id };
    });
  }

  /** Every store with what it holds, by id. @throws StoreError `store.unavailable` */
  async list(): Promise<readonly StoreRecord[]> {
    if (this.#owners === null) await this.#inTurn(() => this.#readOwners());
    return await this.#deps.kv.stores();
  }

  /** The pack that owns a store; null: the operator's; undefined: there is no such store. */
  owner(storeId: string): PackId | null | undefined {
    return this.#owners?.get(storeId);
  }

  /**
   * Lets one pack use a store of another, in `read` where no mode is said. A second one replaces the first.
   * @throws StoreError `store.invalid_id` `store.not_found`; `store.owner_mismatch` when the provider does not own the store;
   * `store.conflict` when provider and consumer are one; RumiError `audit.unavailable`: nothing changed
   */
  share(ask: ShareAsk & { readonly mode?: ShareMode | undefined }): Promise<Share> {
    return this.#shareAct("grant", ask, async ({ provider, consumer }) => {
      const { store_id, owner } = await this.#find(ask.store_id);
      if (owner !== provider) {
        const reason = owner === null ? "is the operator's: it needs no share, a grant is enough" : `belongs to ${owner}`;
        throw new StoreError("store.owner_mismatch", `the store ${store_id} ${reason}`, { details: { store_id, owner } });
      }
      if (provider === consumer)
        throw new StoreError("store.conflict", "a pack needs no share of its own store", { details: { store_id } });
      const share: Share = {
        provider_pack_id: provider,
        consumer_pack_id: consumer,
        store_id,
        mode: ask.mode ?? "read",
        approved_at: isoTime(this.#deps.clock.now()),
        approved_by: ask.actor,
      };
      const others = this.#book.all.filter((each) => !isSame(each, share));
      await this.#book.replace([...others, share], shareEvent("grant", share, ask.actor));
      return share;
    });
  }

  /** Takes a share back. @throws StoreError `store.not_found` when there is none; RumiError `audit.unavailable`: nothing changed */
  unshare(ask: ShareAsk): Promise<Share> {
    return this.#shareAct("revoke", ask, async () => {
      const share = this.#book.all.find((each) => isSame(each, ask));
      if (share === undefined) {
        throw new StoreError("store.not_found", "there is no such share", { remedy: "rumi store list --shared" });
      }
      await this.#takeBack(share, ask.actor);
      return share;
    });
  }

  /** Shares that hold now. */
  shares(): readonly Share[] {
    return this.#book.all;
  }

  /** Whether `principal` may touch the store as far as its owner goes; the grant is judged elsewhere. Memory only. */
  access(principal: PackId, storeId: string, want: "read" | "write"): Decision<{ readonly owner: PackId | null }, StoreErrorCode> {
    if (this.#owners === null) {
      return { allowed: false, code: "store.unavailable", reason: "the store database cannot be read", remedy: "rumi doctor" };
    }
    const owner = this.#owners.get(storeId);
    if (owner === undefined) {
      return { allowed: false, code: "store.not_found", reason: `there is no store ${storeId}`, remedy: `rumi store create ${storeId}` };
    }
    if (owner === null) return { allowed: true, owner };
    const missing = missingShare(this.#book.all, { principal, owner, store: storeId, want });
    if (missing === null) return { allowed: true, owner };
    const mode = want === "read" ? "" : " --mode read_write";
    const reason = `the store ${storeId} belongs to ${owner}, and no share lets ${missing} ${want} it`;
    return { allowed: false, code: "store.share_required", reason, remedy: `rumi store share ${storeId} ${missing}${mode}` };
  }

  /** Makes a declared store, or renews the quota of the pack's own. True when it was made. */
  async #adopt(store: StoreId, packId: PackId, declared: DeclaredStore, actor: string): Promise<boolean> {
    const owner = this.#owners?.get(store);
    if (owner === undefined) {
      await this.#make(store, packId, declared, actor);
      return true;
    }
    if (owner !== packId) {
      throw new StoreError("store.owner_mismatch", `the store ${store} belongs to ${owner ?? "the operator"}`, {
        details: { store_id: store, owner },
      });
    }
    await this.#deps.kv.requota(store, quotaOf(declared));
    return false;
  }

  async #make(store: StoreId, owner: PackId | null, limits: Omit<DeclaredStore, "store_id">, actor: string, root: string | null = null) {
    const quota = quotaOf(limits);
    const created_at = isoTime(this.#deps.clock.now());
    await this.#deps.kv.create(store, { ...quota, owner, root_path: root, created_at });
    this.#owners?.set(store, owner);
    await this.#deps.audit.record(storeEvent("store_create", { store_id: store, ...quota, actor }, owner));
  }

  async #find(storeId: string): Promise<{ readonly store_id: StoreId; readonly owner: PackId | null }> {
    const store_id = parseStoreId(storeId);
    const owner = this.#owners?.get(store_id);
    if (owner === undefined) throw storeNotFound(store_id);
    return { store_id, owner };
  }

  async #takeBack(share: Share, actor: string): Promise<void> {
    const others = this.#book.all.filter((each) => each !== share);
    await this.#book.replace(others, shareEvent("revoke", share, actor));
  }

  #shareAct(
    action: "grant" | "revoke",
    ask: ShareAsk,
    work: (sides: { readonly provider: PackId; readonly consumer: PackId }) => Promise<Share>,
  ): Promise<Share> {
    const { actor, ...config } = ask;
    const details = { permission_type: "store_share", principal_id: ask.consumer_pack_id, config, actor };
    return this.#inTurn(() =>
      auditRefusals(this.#deps.audit, { category: "permission", action, details }, async () => {
        if (this.#owners === null) await this.#readOwners();
        return await work({ provider: parsePackId(ask.provider_pack_id), consumer: parsePackId(ask.consumer_pack_id) });
      }),
    );
  }

  #act<T>(action: "store_create" | "store_delete", details: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(() =>
      auditRefusals(this.#deps.audit, { category: "system", action, details }, async () => {
        if (this.#owners === null) await this.#readOwners();
        return await work();
      }),
    );
  }

  /** @throws StoreError `store.unavailable`, after it was reported */
  async #readOwners(): Promise<void> {
    const part = { kind: "store", id: "stores.db" };
    try {
      const records = await this.#deps.kv.stores();
      this.#owners = new Map(records.map(({ store_id, owner }) => [store_id, owner]));
      this.#deps.diagnostics.report({ ...part, status: "ok", message: `${records.length} stores` });
    } catch (error) {
      if (error instanceof StoreError) {
        this.#deps.diagnostics.report({ ...part, status: "failed", code: error.code, message: error.message, remedy: "rumi doctor" });
      }
      throw error;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

function parsePackId(text: string): PackId {
  const parsed = v.safeParse(PackId, text);
  if (parsed.success) return parsed.output;
  throw new StoreError("store.invalid_id", "a pack id has 1 to 64 letters, digits, _ and -", { details: { pack_id: text.slice(0, 200) } });
}

function isSame(share: Share, ask: Omit<ShareAsk, "actor">): boolean {
  return (
    share.provider_pack_id === ask.provider_pack_id && share.consumer_pack_id === ask.consumer_pack_id && share.store_id === ask.store_id
  );
}

function quotaOf(limits: Omit<DeclaredStore, "store_id">): StoreQuota {
  const capped = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER);
  return {
    max_bytes: capped(limits.max_bytes ?? DEFAULT_QUOTA.max_bytes),
    max_keys: capped(limits.max_keys ?? DEFAULT_QUOTA.max_keys),
  };
}

import { createHash, timingSafeEqual } from "node:crypto";
import { isoTime } from "@rumi/core";
import type { AuditSink, Clock, Random } from "@rumi/core";
import { ApiError } from "./errors.ts";
import type { TokenStore } from "./ports.ts";
import { mayCall } from "./scopes.ts";
import { DEFAULT_GRACE_SECONDS } from "./schemas/tokens.ts";
import type { IssuedToken, Scope, TokenRecord, TokenView } from "./schemas/tokens.ts";

/** Who a request comes from, once its token holds. */
export interface Caller {
  readonly token_id: string;
  /** `token:<id>`, as written in records and audit. */
  readonly actor: string;
  readonly scopes: readonly Scope[];
  /** Flows it may start: all for admin, none when absent. */
  readonly allowed_flow_ids: "*" | readonly string[];
}

/** Collaborators of `TokenRegistry`. */
export interface TokenRegistryDeps {
  readonly store: TokenStore;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly random: Random;
}

/** What a new token may do. */
export interface NewToken {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly allowed_flow_ids?: "*" | readonly string[] | undefined;
  readonly expires_at?: string | undefined;
}

const TOKEN_FORM = /^rumi_[A-Za-z0-9_-]{43}$/u;

/** The API's tokens: only their hashes are kept, in memory and in the signed file. */
export class TokenRegistry {
  readonly #deps: TokenRegistryDeps;
  readonly #lastUsed = new Map<string, number>();
  #records: readonly TokenRecord[] = [];
  #state: "absent" | "ok" | "tampered" = "absent";
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: TokenRegistryDeps) {
    this.#deps = deps;
  }

  /** Reads the store. `tampered`: no token holds until the file is mended. */
  async load(): Promise<"absent" | "ok" | "tampered"> {
    const read = await this.#deps.store.load();
    this.#state = read.state;
    this.#records = read.state === "ok" ? read.tokens : [];
    return read.state;
  }

  /** The caller of a token value, or null for any that does not hold now. */
  verify(value: string): Caller | null {
    if (!TOKEN_FORM.test(value)) return null;
    const now = this.#deps.clock.now();
    const found = this.#holding(createHash("sha256").update(value).digest(), now);
    if (found === null) return null;
    this.#lastUsed.set(found.id, now);
    return {
      token_id: found.id,
      actor: `token:${found.id}`,
      scopes: found.scopes,
      allowed_flow_ids: found.scopes.includes("admin") ? "*" : (found.allowed_flow_ids ?? []),
    };
  }

  /** Says, whenever asked, whether this value still holds: for answers that go on. Takes no note of use; keeps no value. */
  watch(value: string): () => boolean {
    const hash = createHash("sha256").update(value).digest();
    return () => this.#holding(hash, this.#deps.clock.now()) !== null;
  }

  /** Every token, oldest first; never a value or a hash. */
  list(): readonly TokenView[] {
    return this.#records.map((record) => this.#view(record));
  }

  /** A first admin token when there is no record at all, else null. The value is in this answer alone. */
  async createFirstAdmin(): Promise<IssuedToken | null> {
    if (this.#state !== "absent") return null;
    return await this.create({ name: "first admin", scopes: ["admin"] }, "daemon");
  }

  /** Makes a token. The value is in this answer alone. */
  create(token: NewToken, actor: string): Promise<IssuedToken> {
    return this.#alone(async () => {
      const value = this.#newValue();
      const record: TokenRecord = {
        id: `tok_${this.#deps.random.hex(8)}`,
        name: token.name,
        scopes: [...new Set(token.scopes)],
        ...(token.allowed_flow_ids === undefined ? {} : { allowed_flow_ids: token.allowed_flow_ids }),
        created_at: isoTime(this.#deps.clock.now()),
        created_by: actor,
        ...(token.expires_at === undefined ? {} : { expires_at: token.expires_at }),
        sha256: hashOf(value),
      };
      await this.#audit("grant", record, actor, {});
      await this.#save([...this.#records, record]);
      return { ...this.#view(record), token: value };
    });
  }

  /** Gives `id` a new value; the old one passes for `graceSeconds` more. @throws ApiError `token.not_found` */
  rotate(id: string, actor: string, graceSeconds = DEFAULT_GRACE_SECONDS): Promise<IssuedToken> {
    return this.#alone(async () => {
      const old = this.#find(id);
      const value = this.#newValue();
      const { previous: _, ...kept } = old;
      const until = isoTime(this.#deps.clock.now() + graceSeconds * 1000);
      const record: TokenRecord = {
        ...kept,
        sha256: hashOf(value),
        ...(graceSeconds > 0 ? { previous: { sha256: old.sha256, until } } : {}),
      };
      await this.#audit("grant", record, actor, { rotated: true, grace_seconds: graceSeconds });
      await this.#save(this.#records.map((item) => (item.id === id ? record : item)));
      return { ...this.#view(record), token: value };
    });
  }

  /** Ends `id` at once. @throws ApiError `token.not_found` `token.last_admin` */
  remove(id: string, actor: string): Promise<void> {
    return this.#alone(async () => {
      const record = this.#find(id);
      const now = this.#deps.clock.now();
      const isAdmin = (item: TokenRecord): boolean => isLive(item, now) && mayCall(item.scopes, "admin");
      if (isAdmin(record) && !this.#records.some((item) => item.id !== id && isAdmin(item))) {
        throw new ApiError("token.last_admin", "the last admin token stays");
      }
      await this.#audit("revoke", record, actor, {});
      await this.#save(this.#records.filter((item) => item.id !== id));
    });
  }

  /** The record that a value with this hash stands for now. Compares in constant time, with every record. */
  #holding(hash: Uint8Array, now: number): TokenRecord | null {
    let found: TokenRecord | null = null;
    for (const record of this.#records) {
      const current = timingSafeEqual(hash, Buffer.from(record.sha256, "hex"));
      const old = record.previous;
      const previous = old !== undefined && timingSafeEqual(hash, Buffer.from(old.sha256, "hex")) && now < Date.parse(old.until);
      if ((current || previous) && isLive(record, now)) found = record;
    }
    return found;
  }

  #find(id: string): TokenRecord {
    const record = this.#records.find((item) => item.id === id);
    if (record === undefined) throw new ApiError("token.not_found", "there is no such token");
    return record;
  }

  #newValue(): string {
    return `rumi_${Buffer.from(this.#deps.random.hex(32), "hex").toString("base64url")}`;
  }

  #view(record: TokenRecord): TokenView {
    const { sha256: _, previous: __, ...view } = record;
    const used = this.#lastUsed.get(record.id);
    return used === undefined ? view : { ...view, last_used_at: isoTime(used) };
  }

  async #save(records: readonly TokenRecord[]): Promise<void> {
    const withUse = records.map((record) => {
      const used = this.#lastUsed.get(record.id);
      return used === undefined ? record : { ...record, last_used_at: isoTime(used) };
    });
    await this.#deps.store.save(withUse);
    this.#records = withUse;
    this.#state = "ok";
  }

  async #audit(action: string, record: TokenRecord, actor: string, extra: { readonly [key: string]: boolean | number }): Promise<void> {
    await this.#deps.audit.record({
      category: "permission",
      action,
      success: true,
      details: { permission_type: "api_token", principal_id: record.id, scopes: [...record.scopes], actor, ...extra },
    });
  }

  /** One change of the records at a time. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(change);
    this.#queue = next.catch(() => undefined);
    return next;
  }
}

function hashOf(value: string): string {
  return createHash("sha256").update(value).digest("hex");
}

function isLive(record: TokenRecord, now: number): boolean {
  return record.expires_at === undefined || now < Date.parse(record.expires_at);
}

import { join } from "node:path";
import { isoTime, SecretKey, type JsonValue } from "@rumi/core";
import { ensureFolder } from "@rumi/safe-files";
import * as v from "valibot";
import { BindingWatch } from "./binding-watch.ts";
import { SecretsError } from "./errors.ts";
import type { SealedValue, SecretView } from "./ports.ts";
import { sealValue, unsealValue } from "./sealed-value.ts";
import { SecretJournal } from "./secret-journal.ts";
import { parseSecretKey, parseSecretValue, valueWarnings } from "./secret-value.ts";
import { SecretVault, type SecretStoreDeps } from "./secret-vault.ts";

/** A use is journaled at most this often for a key; `last_used_at` after a restart is as old. */
const USE_NOTE_MS = 60 * 60 * 1000;

/** Secrets at rest: one encrypted file per key, each at its newest revision. */
export class SecretStore implements AsyncDisposable {
  readonly #deps: SecretStoreDeps;
  readonly #vault: SecretVault;
  readonly #journal: SecretJournal;
  /** Suspensions of brokered bindings; they outlive a restart. */
  readonly watch: BindingWatch;
  readonly #lastUsed = new Map<string, number>();
  readonly #useNoted = new Map<string, number>();
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(deps: SecretStoreDeps, folder: string, opened: Awaited<ReturnType<typeof SecretJournal.open>>) {
    this.#deps = deps;
    this.#vault = new SecretVault(deps, folder);
    this.#journal = opened.journal;
    this.watch = new BindingWatch({ journal: opened.journal, audit: deps.audit, clock: deps.clock }, opened.lines);
    for (const { action, key, ts } of opened.lines) if (action === "use") this.#lastUsed.set(key, Date.parse(ts));
  }

  /** Finds nothing on disk that it throws for: a lost or wrong key gives a locked store, a bad file is left out. */
  static async open(deps: SecretStoreDeps): Promise<SecretStore> {
    const folder = join(deps.userData, "secrets");
    await ensureFolder(folder);
    const store = new SecretStore(deps, folder, await SecretJournal.open(folder, deps.clock));
    try {
      await store.#vault.load((key) => store.#journal.note("rotate_key", key, "daemon", "resumed"));
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  get state(): "open" | "locked" {
    return this.#vault.locked === null ? "open" : "locked";
  }

  /** Why the store is locked, or null. */
  get lockedReason(): string | null {
    return this.#vault.locked;
  }

  /**
   * Keeps a value. `created`: there was none before. `key` and `value` are judged here, whatever they are.
   * @throws SecretsError `secrets.invalid_key` `secrets.invalid_value` `secrets.too_short` `secrets.too_large` `secrets.locked`
   */
  set(
    key: unknown,
    value: unknown,
    actor: string,
  ): Promise<{ readonly key: SecretKey; readonly created: boolean; readonly warnings: readonly string[] }> {
    return this.#audited(key, actor, async () => {
      const name = parseSecretKey(key);
      const text = parseSecretValue(value);
      const keys = await this.#vault.keysForWriting();
      // Masked from here on, before anything can speak of it.
      this.#deps.live.set(name, text);
      const before = await this.#vault.refresh(name);
      const created = before === null || before.value === null;
      const now = isoTime(this.#deps.clock.now());
      const record = { value: text, created_at: created ? now : before.created_at, updated_at: now, deleted_at: null };
      await this.#vault.write(keys, name, record, () => this.#foreword("set", name, actor, { created }));
      return { key: name, created, warnings: valueWarnings(text) };
    });
  }

  /** Leaves a tombstone. @throws SecretsError `secrets.invalid_key` `secrets.not_found` (never existed) `secrets.locked` */
  delete(key: unknown, actor: string): Promise<{ readonly key: SecretKey; readonly deleted: true }> {
    return this.#audited(key, actor, async () => {
      const name = parseSecretKey(key);
      this.#vault.assertOpen();
      const before = await this.#vault.refresh(name);
      if (!this.#vault.entries.has(name)) {
        throw new SecretsError("secrets.not_found", "there is no such secret", { remedy: "rumi secret list" });
      }
      if (before === null || before.deleted_at === null) {
        const keys = await this.#vault.keysForWriting();
        const now = isoTime(this.#deps.clock.now());
        const record = { value: null, created_at: before?.created_at ?? now, updated_at: now, deleted_at: now };
        await this.#vault.write(keys, name, record, () => this.#foreword("delete", name, actor));
      }
      return { key: name, deleted: true };
    });
  }

  /** Every key there is or was, by name. */
  list(): SecretView[] {
    return [...this.#vault.entries]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { record }]) => {
        const used = this.#lastUsed.get(key);
        const deleted = record !== null && record.value === null;
        return {
          key,
          exists: !deleted,
          deleted,
          masked: "********",
          created_at: record?.created_at ?? null,
          updated_at: record?.updated_at ?? null,
          deleted_at: record?.deleted_at ?? null,
          last_used_at: used === undefined ? null : isoTime(used),
          ...(record === null ? { unreadable: true } : {}),
        };
      });
  }

  /** The value; null when absent, deleted, locked, tampered with or undecryptable, all alike. Notes the use. */
  async read(key: string): Promise<string | null> {
    const name = v.safeParse(SecretKey, key);
    if (!name.success || this.#vault.locked !== null) return null;
    const record = await this.#vault.current(name.output);
    if (record === null || record.value === null) return null;
    this.#noteUse(name.output);
    return record.value;
  }

  /**
   * A new key for everything. A crash in the middle leaves both keys in their file, and the next start goes on.
   * @throws SecretsError `secrets.locked`
   */
  rotateKey(actor: string): Promise<{ readonly rotated: number; readonly kid: string }> {
    return this.#audited(null, actor, async () => {
      this.#vault.assertOpen();
      const keys = await this.#vault.keysForWriting();
      const foreword = (key: SecretKey): Promise<void> => this.#journal.note("rotate_key", key, actor);
      // What an earlier rotation left must not lose its key now.
      await this.#vault.reencrypt(keys, foreword);
      const next = keys.rotated(this.#deps.random);
      const details = { actor, from_kid: keys.kid, to_kid: next.kid };
      await this.#deps.audit.record({ category: "security", action: "secret_rotate_key", success: true, details });
      await this.#vault.replaceKeys(next);
      return { rotated: await this.#vault.reencrypt(next, foreword), kid: next.kid };
    });
  }

  /** Takes in files of older installations that hold values in the clear. @throws SecretsError `secrets.locked` */
  async migrate(actor: string): Promise<{ migrated: SecretKey[]; refused: { key: SecretKey; code: string }[] }> {
    this.#vault.assertOpen();
    const migrated: SecretKey[] = [];
    const refused: { key: SecretKey; code: string }[] = [];
    for (const [key, file] of await this.#vault.found()) {
      if (file.kind !== "legacy" || file.value === null) continue;
      try {
        await this.set(key, file.value, actor);
        migrated.push(key);
      } catch (error) {
        if (!(error instanceof SecretsError)) throw error;
        refused.push({ key, code: error.code });
      }
    }
    return { migrated, refused };
  }

  /** Seals a value for a journal. `context` (run and step) must be the same at `unseal`. @throws SecretsError `secrets.locked` */
  seal(value: JsonValue, context: string): SealedValue {
    this.#vault.assertOpen();
    const { keys } = this.#vault;
    if (keys === null) throw new SecretsError("secrets.locked", "there is no key yet: no secret was ever set");
    return sealValue(keys, this.#deps.random, value, context);
  }

  /** Opens what `seal` gave; `undefined` when it is none of ours. */
  unseal(sealed: JsonValue, context: string): JsonValue | undefined {
    const { keys } = this.#vault;
    return keys === null ? undefined : unsealValue(keys, sealed, context);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue;
    await this.#journal[Symbol.asyncDispose]();
  }

  /** What must be on disk before a change is. */
  async #foreword(action: "set" | "delete", key: SecretKey, actor: string, facts: { readonly created?: boolean } = {}): Promise<void> {
    const details = { key_name: key, actor, ...facts };
    await this.#deps.audit.record({ category: "security", action: `secret_${action}`, success: true, details });
    await this.#journal.note(action, key, actor);
  }

  #noteUse(key: SecretKey): void {
    const now = this.#deps.clock.now();
    this.#lastUsed.set(key, now);
    if (now - (this.#useNoted.get(key) ?? -Infinity) < USE_NOTE_MS) return;
    this.#useNoted.set(key, now);
    // A use that cannot be noted is still a use.
    this.#journal.note("use", key, "daemon").catch(() => undefined);
  }

  /** Runs a change in turn; a refusal is audited before it is thrown. */
  #audited<T>(key: unknown, actor: string, work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work).catch(async (error: unknown) => {
      if (!(error instanceof SecretsError)) throw error;
      const details = { ...(v.is(SecretKey, key) ? { key_name: key } : {}), actor };
      const rejection_reason = error.message;
      await this.#deps.audit.record({
        category: "security",
        severity: "warning",
        action: error.code,
        success: false,
        rejection_reason,
        details,
      });
      throw error;
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isoTime, SecretKey, type AuditSink, type Clock, type DiagnosticsSink, type JsonValue, type Random } from "@rumi/core";
import { ensureFolder, readJsonFile, type SealedRead, type SignedFiles, type Unsealed } from "@rumi/safe-files";
import * as v from "valibot";
import { BindingWatch } from "./binding-watch.ts";
import { SecretsError } from "./errors.ts";
import type { LiveSecrets } from "./live-secrets.ts";
import type { SealedValue, SecretKeySource, SecretView } from "./ports.ts";
import { judgeFile, openSecret, sealSecret, type FoundFile, type SecretRecord } from "./secret-file.ts";
import { SecretJournal } from "./secret-journal.ts";
import { createKeyFile, loadSecretKeys, replaceKeyFile } from "./secret-key-file.ts";
import { SecretKeys } from "./secret-keys.ts";
import { parseSecretKey, parseSecretValue, valueWarnings } from "./secret-value.ts";
import { sealValue, unsealValue } from "./sealed-value.ts";

/** Kind of secrets in the index of revisions. */
const KIND = "secret";
/** A use is journaled at most this often for a key; `last_used_at` after a restart is as old. */
const USE_NOTE_MS = 60 * 60 * 1000;
/** A file changed less than this ago may change again without a trace in its times. */
const FRESH_FILE_MS = 100;

/** Collaborators of `SecretStore`. */
export interface SecretStoreDeps {
  readonly userData: string;
  readonly key: SecretKeySource;
  /** Loaded; holds the revisions. */
  readonly signed: SignedFiles;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly random: Random;
  /** Filled and kept by the store. */
  readonly live: LiveSecrets;
  readonly diagnostics?: DiagnosticsSink;
}

/** What the store knows of one key. */
interface Entry {
  /** Null: the file cannot be believed. */
  readonly record: SecretRecord | null;
  /** The file's identity and times when it was read; null when it is to be read again. */
  readonly file: string | null;
}

/** Secrets at rest: one encrypted file per key, each at its newest revision. */
export class SecretStore implements AsyncDisposable {
  readonly #deps: SecretStoreDeps;
  readonly #folder: string;
  readonly #journal: SecretJournal;
  /** Suspensions of brokered bindings; they outlive a restart. */
  readonly watch: BindingWatch;
  readonly #entries = new Map<SecretKey, Entry>();
  readonly #lastUsed = new Map<string, number>();
  readonly #useNoted = new Map<string, number>();
  readonly #reported = new Set<SecretKey>();
  #keys: SecretKeys | null = null;
  #locked: string | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(deps: SecretStoreDeps, folder: string, opened: Awaited<ReturnType<typeof SecretJournal.open>>) {
    this.#deps = deps;
    this.#folder = folder;
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
      await store.#load();
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  get state(): "open" | "locked" {
    return this.#locked === null ? "open" : "locked";
  }

  /** Why the store is locked, or null. */
  get lockedReason(): string | null {
    return this.#locked;
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
      const keys = await this.#keysForWriting();
      // Masked from here on, before anything can speak of it.
      this.#deps.live.set(name, text);
      const before = await this.#refresh(name);
      const now = isoTime(this.#deps.clock.now());
      const created = before?.value === undefined || before.value === null;
      const created_at = created ? now : before.created_at;
      const record = { value: text, created_at, updated_at: now, deleted_at: null };
      await this.#write(keys, name, record, "set", actor, { created });
      return { key: name, created, warnings: valueWarnings(text) };
    });
  }

  /** Leaves a tombstone. @throws SecretsError `secrets.invalid_key` `secrets.not_found` (never existed) `secrets.locked` */
  delete(key: unknown, actor: string): Promise<{ readonly key: SecretKey; readonly deleted: true }> {
    return this.#audited(key, actor, async () => {
      const name = parseSecretKey(key);
      this.#assertOpen();
      const before = await this.#refresh(name);
      if (!this.#entries.has(name)) {
        throw new SecretsError("secrets.not_found", "there is no such secret", { remedy: "rumi secret list" });
      }
      if (before === null || before.deleted_at === null) {
        const keys = await this.#keysForWriting();
        const now = isoTime(this.#deps.clock.now());
        const record = { value: null, created_at: before?.created_at ?? now, updated_at: now, deleted_at: now };
        await this.#write(keys, name, record, "delete", actor);
      }
      return { key: name, deleted: true };
    });
  }

  /** Every key there is or was, by name. */
  list(): SecretView[] {
    return [...this.#entries]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { record }]) => {
        const used = this.#lastUsed.get(key);
        const unreadable = record === null;
        return {
          key,
          exists: unreadable || record.value !== null,
          deleted: !unreadable && record.value === null,
          masked: "********",
          created_at: record?.created_at ?? null,
          updated_at: record?.updated_at ?? null,
          deleted_at: record?.deleted_at ?? null,
          last_used_at: used === undefined ? null : isoTime(used),
          ...(unreadable ? { unreadable } : {}),
        };
      });
  }

  /** The value; null when absent, deleted, locked, tampered with or undecryptable, all alike. Notes the use. */
  async read(key: string): Promise<string | null> {
    const name = v.safeParse(SecretKey, key);
    if (!name.success || this.#locked !== null) return null;
    const record = await this.#current(name.output);
    if (record?.value === undefined || record.value === null) return null;
    this.#noteUse(name.output);
    return record.value;
  }

  /**
   * A new key for everything. A crash in the middle leaves both keys in their file, and the next start goes on.
   * @throws SecretsError `secrets.locked`
   */
  rotateKey(actor: string): Promise<{ readonly rotated: number; readonly kid: string }> {
    return this.#inTurn(async () => {
      const { audit, key, random } = this.#deps;
      this.#assertOpen();
      const keys = await this.#keysForWriting();
      // What an earlier rotation left must not lose its key now.
      await this.#reencrypt(keys, actor);
      const next = keys.rotated(random);
      const details = { actor, from_kid: keys.kid, to_kid: next.kid };
      await audit.record({ category: "security", action: "secret_rotate_key", success: true, details });
      const refusal = await replaceKeyFile(key, next);
      if (refusal !== null) throw new SecretsError("secrets.locked", refusal, { remedy: "rumi doctor" });
      this.#keys = next;
      return { rotated: await this.#reencrypt(next, actor), kid: next.kid };
    });
  }

  /** Takes in files of older installations that hold values in the clear. @throws SecretsError `secrets.locked` */
  async migrate(actor: string): Promise<{ migrated: SecretKey[]; refused: { key: SecretKey; code: string }[] }> {
    this.#assertOpen();
    const migrated: SecretKey[] = [];
    const refused: { key: SecretKey; code: string }[] = [];
    for (const key of await this.#names()) {
      const found = await this.#found(key);
      if (found.kind !== "legacy" || found.value === null) continue;
      try {
        await this.set(key, found.value, actor);
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
    if (this.#keys === null) throw locked(this.#locked ?? "there is no key yet");
    return sealValue(this.#keys, this.#deps.random, value, context);
  }

  /** Opens what `seal` gave; `undefined` when it is none of ours. */
  unseal(sealed: JsonValue, context: string): JsonValue | undefined {
    return this.#keys === null ? undefined : unsealValue(this.#keys, sealed, context);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue;
    await this.#journal[Symbol.asyncDispose]();
  }

  async #load(): Promise<void> {
    const names = await this.#names();
    const found = new Map<SecretKey, FoundFile>();
    for (const name of names) found.set(name, await this.#found(name));
    // What lies here in the clear is still a secret.
    for (const [name, file] of found) if (file.kind === "legacy" && file.value !== null) this.#deps.live.set(name, file.value);
    const sealed = [...found.values()].filter((file) => file.kind !== "legacy");
    const loaded = await loadSecretKeys(this.#deps.key);
    if (loaded.state === "ok") this.#keys = loaded.keys;
    else if (loaded.state === "unusable") this.#locked = loaded.reason;
    else if (sealed.length > 0) this.#locked = "the key of the secrets is missing beside them";
    else if (this.#deps.key.kind !== "settings") this.#locked = "the key file of the secrets is not there";
    for (const name of new Set([...names, ...this.#indexed()])) await this.#refresh(name);
    const keys = this.#keys;
    if (keys !== null && this.#locked === null) {
      const foreign = sealed.some((file) => file.kind === "sealed" && !keys.has(file.kid));
      if (foreign && ![...this.#entries.values()].some(({ record }) => record !== null))
        this.#locked = "the key is not the one of the secrets";
    }
    if (this.#locked !== null) {
      this.#report("failed", "secrets.locked", this.#locked, "keys");
      return;
    }
    if (keys !== null) await this.#reencrypt(keys, "daemon");
  }

  /** Keys with a file in the folder. */
  async #names(): Promise<SecretKey[]> {
    const files = await readdir(this.#folder);
    return files.flatMap((file) => {
      const name = file.endsWith(".json") ? v.safeParse(SecretKey, file.slice(0, -".json".length)) : null;
      return name?.success === true ? [name.output] : [];
    });
  }

  #indexed(): SecretKey[] {
    return this.#deps.signed.names(KIND).filter((name): name is SecretKey => v.is(SecretKey, name));
  }

  async #found(key: SecretKey): Promise<FoundFile> {
    try {
      return judgeFile(await readJsonFile(this.#path(key)));
    } catch {
      return { kind: "foreign" };
    }
  }

  /** What holds for a key now; from memory while its file did not change. */
  async #current(key: SecretKey): Promise<SecretRecord | null> {
    const known = this.#entries.get(key);
    const file = known === undefined ? null : await this.#identity(key);
    if (known !== undefined && known.record !== null && file !== null && file === known.file) return known.record;
    return this.#refresh(key);
  }

  /** Reads a key's file anew. Null: absent, or not to be believed. */
  async #refresh(key: SecretKey): Promise<SecretRecord | null> {
    const file = await this.#identity(key);
    const read: SealedRead<SecretRecord> = await this.#deps.signed.readSealed(KIND, key, this.#path(key), this.#open(key));
    if (read.state === "absent") {
      this.#entries.delete(key);
      return null;
    }
    const record = read.state === "ok" ? read.value : null;
    this.#entries.set(key, { record, file });
    if (read.state === "ok") {
      this.#reported.delete(key);
      if (read.value.value !== null) this.#deps.live.set(key, read.value.value);
    } else if (this.#locked === null && this.#keys !== null) await this.#tampered(key, read.reason);
    return record;
  }

  #open(key: SecretKey): (file: JsonValue) => Unsealed<SecretRecord> {
    return (file) => (this.#keys === null ? null : openSecret(this.#keys, key, file));
  }

  async #tampered(key: SecretKey, reason: string): Promise<void> {
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#report("failed", "safe_files.record_tampered", `the file of the secret cannot be believed (${reason})`, key);
    await this.#deps.audit.record({
      category: "security",
      severity: "critical",
      action: "record_tampered",
      success: false,
      rejection_reason: reason,
      details: { kind: KIND, key_name: key },
    });
  }

  #report(status: "ok" | "failed", code: string, message: string, id: string): void {
    this.#deps.diagnostics?.report({
      kind: KIND,
      id,
      status,
      code,
      message,
      remedy: id === "keys" ? "rumi doctor" : `rumi secret set ${id}`,
    });
  }

  /** Tells a file from any that may take its place; null while it is too new to tell. */
  async #identity(key: SecretKey): Promise<string | null> {
    const stat = await lstat(this.#path(key), { bigint: true }).catch(() => null);
    if (stat === null || this.#deps.clock.now() - Number(stat.ctimeMs) < FRESH_FILE_MS) return null;
    return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
  }

  async #write(
    keys: SecretKeys,
    key: SecretKey,
    record: Omit<SecretRecord, "kid">,
    action: "set" | "delete" | "rotate_key",
    actor: string,
    facts: { readonly created?: boolean } = {},
  ): Promise<void> {
    const { audit, random, signed } = this.#deps;
    const before = async (): Promise<void> => {
      if (action !== "rotate_key") {
        const details = { key_name: key, actor, ...facts };
        await audit.record({ category: "security", action: `secret_${action}`, success: true, details });
      }
      await this.#journal.note(action, key, actor);
    };
    const file = { kind: KIND, name: key, path: this.#path(key), open: this.#open(key) };
    await signed.writeSealed(file, (rev) => sealSecret(keys, random, key, rev, record), before);
    this.#entries.set(key, { record: { ...record, kid: keys.kid }, file: null });
    this.#reported.delete(key);
  }

  /** Puts everything under the first key that is under an older one. */
  async #reencrypt(keys: SecretKeys, actor: string): Promise<number> {
    let count = 0;
    for (const key of [...this.#entries.keys()]) {
      const record = await this.#refresh(key);
      if (record === null || record.kid === keys.kid) continue;
      await this.#write(keys, key, record, "rotate_key", actor);
      count++;
    }
    return count;
  }

  async #keysForWriting(): Promise<SecretKeys> {
    this.#assertOpen();
    if (this.#keys !== null) return this.#keys;
    const { key, random } = this.#deps;
    const files = await Promise.all((await this.#names()).map((name) => this.#found(name)));
    const made = SecretKeys.create(random);
    // Never a new key beside what an older one encrypted.
    if (files.some(({ kind }) => kind !== "legacy") || !(await createKeyFile(key, made))) {
      this.#locked = "the key of the secrets is missing beside them";
      throw locked(this.#locked);
    }
    return (this.#keys = made);
  }

  #assertOpen(): void {
    if (this.#locked !== null) throw locked(this.#locked);
  }

  #noteUse(key: SecretKey): void {
    const now = this.#deps.clock.now();
    this.#lastUsed.set(key, now);
    if (now - (this.#useNoted.get(key) ?? -Infinity) < USE_NOTE_MS) return;
    this.#useNoted.set(key, now);
    // A use that cannot be noted is still a use.
    this.#journal.note("use", key, "daemon").catch(() => undefined);
  }

  #path(key: SecretKey): string {
    return join(this.#folder, `${key}.json`);
  }

  /** Runs a change in turn; a refusal is audited before it is thrown. */
  #audited<T>(key: unknown, actor: string, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof SecretsError)) throw error;
        const named = v.safeParse(SecretKey, key);
        await this.#deps.audit.record({
          category: "security",
          severity: "warning",
          action: error.code,
          success: false,
          rejection_reason: error.message,
          details: { ...(named.success ? { key_name: named.output } : {}), actor },
        });
        throw error;
      }
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

function locked(reason: string): SecretsError {
  return new SecretsError("secrets.locked", `secrets are locked: ${reason}`, { remedy: "rumi doctor" });
}

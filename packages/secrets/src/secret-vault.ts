import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { SecretKey, type AuditSink, type Clock, type DiagnosticsSink, type JsonValue, type Random } from "@rumi/core";
import { readJsonFile, type SignedFiles, type TamperReason, type Unsealed } from "@rumi/safe-files";
import * as v from "valibot";
import { SecretsError } from "./errors.ts";
import type { LiveSecrets } from "./live-secrets.ts";
import type { SecretKeySource } from "./ports.ts";
import { judgeFile, openSecret, sealSecret, type FoundFile, type SecretRecord } from "./secret-file.ts";
import { createKeyFile, loadSecretKeys, replaceKeyFile } from "./secret-key-file.ts";
import { SecretKeys } from "./secret-keys.ts";

/** Kind of secrets in the index of revisions. */
const KIND = "secret";
/** A file changed less than this ago may change again without a trace in its times. */
const FRESH_FILE_MS = 100;
const KEY_MISSING = "the key of the secrets is missing beside them";

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

/** What is known of one key. */
export interface SecretEntry {
  /** Null: the file cannot be believed. */
  readonly record: SecretRecord | null;
  /** The file's identity and times when it was read; null when it is to be read again. */
  readonly file: string | null;
}

/** The files of the secrets and the key they are under. Not safe for changes at once: `SecretStore` queues them. */
export class SecretVault {
  readonly #deps: SecretStoreDeps;
  readonly #folder: string;
  readonly #entries = new Map<SecretKey, SecretEntry>();
  readonly #reported = new Set<SecretKey>();
  #keys: SecretKeys | null = null;
  #locked: string | null = null;

  constructor(deps: SecretStoreDeps, folder: string) {
    this.#deps = deps;
    this.#folder = folder;
  }

  /** Why no secret can be read or written, or null. */
  get locked(): string | null {
    return this.#locked;
  }

  /** Null before the first secret, and while the key cannot be used. */
  get keys(): SecretKeys | null {
    return this.#keys;
  }

  get entries(): ReadonlyMap<SecretKey, SecretEntry> {
    return this.#entries;
  }

  /** Reads key and files. `foreword` is noted before a file that an interrupted rotation left is written. */
  async load(foreword: (key: SecretKey) => Promise<void>): Promise<void> {
    const found = await this.found();
    // What lies here in the clear is still a secret.
    for (const [name, file] of found) if (file.kind === "legacy" && file.value !== null) this.#deps.live.set(name, file.value);
    const sealed = [...found.values()].filter(({ kind }) => kind !== "legacy");
    const loaded = await loadSecretKeys(this.#deps.key);
    if (loaded.state === "ok") this.#keys = loaded.keys;
    else if (loaded.state === "unusable") this.#locked = loaded.reason;
    else if (sealed.length > 0) this.#locked = KEY_MISSING;
    else if (this.#deps.key.kind !== "settings") this.#locked = "the key file of the secrets is not there";
    const tampered: [SecretKey, TamperReason][] = [];
    for (const name of new Set([...found.keys(), ...this.#indexed()])) {
      const reason = await this.#read(name);
      if (reason !== null) tampered.push([name, reason]);
    }
    const keys = this.#keys;
    const foreign = keys !== null && sealed.some((file) => file.kind === "sealed" && !keys.has(file.kid));
    if (foreign && tampered.length === this.#entries.size) this.#lock("the key is not the one of the secrets");
    if (tampered.some(([, reason]) => reason === "locked")) this.#lock("the records of this home are locked");
    if (this.#locked !== null) {
      this.#report("secrets.locked", this.#locked, "keys", "rumi doctor");
      return;
    }
    for (const [name, reason] of tampered) await this.#noteTampered(name, reason);
    if (keys !== null) await this.reencrypt(keys, foreword);
  }

  /** Files in the folder and whose they are. */
  async found(): Promise<Map<SecretKey, FoundFile>> {
    const found = new Map<SecretKey, FoundFile>();
    for (const file of await readdir(this.#folder)) {
      const name = file.endsWith(".json") ? v.safeParse(SecretKey, file.slice(0, -".json".length)) : null;
      if (name?.success !== true) continue;
      const judged = await readJsonFile(this.#path(name.output)).then(judgeFile, (): FoundFile => ({ kind: "foreign" }));
      found.set(name.output, judged);
    }
    return found;
  }

  /** What holds for a key now, from memory while its file did not change. Null: absent, or not to be believed. */
  async current(key: SecretKey): Promise<SecretRecord | null> {
    const known = this.#entries.get(key);
    if (known !== undefined && known.record !== null && known.file !== null && known.file === (await this.#identity(key))) {
      return known.record;
    }
    return this.refresh(key);
  }

  /** Reads a key's file anew. Null: absent, or not to be believed. */
  async refresh(key: SecretKey): Promise<SecretRecord | null> {
    const reason = await this.#read(key);
    if (reason !== null) await this.#noteTampered(key, reason);
    return this.#entries.get(key)?.record ?? null;
  }

  /** Encrypts and writes; `before` (audit, journal) runs first, and if it throws nothing is written. */
  async write(keys: SecretKeys, key: SecretKey, record: Omit<SecretRecord, "kid">, before: () => Promise<void>): Promise<void> {
    const { random, signed } = this.#deps;
    const file = { kind: KIND, name: key, path: this.#path(key), open: this.#open(key) };
    await signed.writeSealed(file, (rev) => sealSecret(keys, random, key, rev, record), before);
    this.#entries.set(key, { record: { ...record, kid: keys.kid }, file: null });
    this.#noteMended(key);
  }

  /** Puts everything under the first key that is under an older one. */
  async reencrypt(keys: SecretKeys, before: (key: SecretKey) => Promise<void>): Promise<number> {
    let count = 0;
    for (const key of [...this.#entries.keys()]) {
      const record = await this.refresh(key);
      if (record === null || record.kid === keys.kid) continue;
      await this.write(keys, key, record, () => before(key));
      count++;
    }
    return count;
  }

  /** The keys to encrypt with, made at the first secret. @throws SecretsError `secrets.locked` */
  async keysForWriting(): Promise<SecretKeys> {
    this.assertOpen();
    if (this.#keys !== null) return this.#keys;
    const files = [...(await this.found()).values()];
    const made = SecretKeys.create(this.#deps.random);
    // Never a new key beside what an older one encrypted.
    if (files.some(({ kind }) => kind !== "legacy") || !(await createKeyFile(this.#deps.key, made))) {
      this.#lock(KEY_MISSING);
      this.assertOpen();
    }
    this.#keys = made;
    return made;
  }

  /** Makes `next` the keys from now on. @throws SecretsError `secrets.locked` when the key file cannot be written */
  async replaceKeys(next: SecretKeys): Promise<void> {
    const refusal = await replaceKeyFile(this.#deps.key, next);
    if (refusal !== null) throw new SecretsError("secrets.locked", refusal, { remedy: "rumi doctor" });
    this.#keys = next;
  }

  /** @throws SecretsError `secrets.locked` */
  assertOpen(): void {
    if (this.#locked === null) return;
    throw new SecretsError("secrets.locked", `secrets are locked: ${this.#locked}`, { remedy: "rumi doctor" });
  }

  #lock(reason: string): void {
    this.#locked ??= reason;
  }

  #indexed(): SecretKey[] {
    return this.#deps.signed.names(KIND).filter((name): name is SecretKey => v.is(SecretKey, name));
  }

  /** Takes in what a key's file says; the reason when it cannot be believed. */
  async #read(key: SecretKey): Promise<TamperReason | null> {
    const file = await this.#identity(key);
    const read = await this.#deps.signed.readSealed(KIND, key, this.#path(key), this.#open(key));
    if (read.state === "absent") {
      this.#entries.delete(key);
      return null;
    }
    const record = read.state === "ok" ? read.value : null;
    this.#entries.set(key, { record, file });
    if (read.state === "tampered") return read.reason;
    this.#noteMended(key);
    if (read.value.value !== null) this.#deps.live.set(key, read.value.value);
    return null;
  }

  #open(key: SecretKey): (file: JsonValue) => Unsealed<SecretRecord> {
    return (file) => (this.#keys === null ? null : openSecret(this.#keys, key, file));
  }

  async #noteTampered(key: SecretKey, reason: TamperReason): Promise<void> {
    if (this.#reported.has(key) || this.#locked !== null) return;
    this.#reported.add(key);
    const remedy = `rumi secret set ${key}`;
    this.#report("safe_files.record_tampered", `the file of the secret cannot be believed (${reason})`, key, remedy);
    await this.#deps.audit.record({
      category: "security",
      severity: "critical",
      action: "record_tampered",
      success: false,
      rejection_reason: reason,
      details: { kind: KIND, key_name: key },
    });
  }

  #noteMended(key: SecretKey): void {
    if (this.#reported.delete(key))
      this.#deps.diagnostics?.report({ kind: KIND, id: key, status: "ok", message: "the secret is readable" });
  }

  #report(code: string, message: string, id: string, remedy: string): void {
    this.#deps.diagnostics?.report({ kind: KIND, id, status: "failed", code, message, remedy });
  }

  /** Tells a file from any that may take its place; null while it is too new to tell. */
  async #identity(key: SecretKey): Promise<string | null> {
    const stat = await lstat(this.#path(key), { bigint: true }).catch(() => null);
    if (stat === null || this.#deps.clock.now() - Number(stat.ctimeMs) < FRESH_FILE_MS) return null;
    return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
  }

  #path(key: SecretKey): string {
    return join(this.#folder, `${key}.json`);
  }
}

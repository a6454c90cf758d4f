import type { AuditSink, Clock, DiagnosticsSink, JsonValue, Random, SecretKey } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import type { BindingWatch } from "./binding-watch.ts";
import type { LiveSecrets } from "./live-secrets.ts";
import type { SealedValue, SecretKeySource, SecretView } from "./ports.ts";

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

/** Secrets at rest: one encrypted file per key, each at its newest revision. */
export class SecretStore implements AsyncDisposable {
  /** Never throws for what it finds on disk: a lost or wrong key gives a locked store, a bad file is left out. */
  static open(_deps: SecretStoreDeps): Promise<SecretStore> {
    throw new Error("not yet");
  }

  get state(): "open" | "locked" {
    throw new Error("not yet");
  }

  /** Why the store is locked, or null. */
  get lockedReason(): string | null {
    throw new Error("not yet");
  }

  /** Suspensions of brokered bindings; they outlive a restart. */
  get watch(): BindingWatch {
    throw new Error("not yet");
  }

  /**
   * Keeps a value. `created`: there was none before. `key` and `value` are judged here, whatever they are.
   * @throws SecretsError `secrets.invalid_key` `secrets.invalid_value` `secrets.too_short` `secrets.too_large` `secrets.locked`
   */
  set(
    _key: unknown,
    _value: unknown,
    _actor: string,
  ): Promise<{ readonly key: SecretKey; readonly created: boolean; readonly warnings: readonly string[] }> {
    throw new Error("not yet");
  }

  /** Leaves a tombstone. @throws SecretsError `secrets.invalid_key` `secrets.not_found` (never existed) `secrets.locked` */
  delete(_key: unknown, _actor: string): Promise<{ readonly key: SecretKey; readonly deleted: true }> {
    throw new Error("not yet");
  }

  /** Every key there is or was, by name. */
  list(): SecretView[] {
    throw new Error("not yet");
  }

  /** The value; null when absent, deleted, locked, tampered with or undecryptable, all alike. Notes the use. */
  read(_key: string): Promise<string | null> {
    throw new Error("not yet");
  }

  /** A new key for everything; goes on where a crash stopped it. @throws SecretsError `secrets.locked` */
  rotateKey(_actor: string): Promise<{ readonly rotated: number; readonly kid: string }> {
    throw new Error("not yet");
  }

  /** Takes in files of older installations that hold values in the clear. */
  migrate(
    _actor: string,
  ): Promise<{ readonly migrated: readonly SecretKey[]; readonly refused: readonly { key: string; code: string }[] }> {
    throw new Error("not yet");
  }

  /** Seals a value for a journal. `context` (run and step) must be the same at `unseal`. @throws SecretsError `secrets.locked` */
  seal(_value: JsonValue, _context: string): SealedValue {
    throw new Error("not yet");
  }

  /** Opens what `seal` gave; `undefined` when it is none of ours. */
  unseal(_sealed: JsonValue, _context: string): JsonValue | undefined {
    throw new Error("not yet");
  }

  [Symbol.asyncDispose](): Promise<void> {
    throw new Error("not yet");
  }
}

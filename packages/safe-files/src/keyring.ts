import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, isJsonObject, systemClock, systemRandom } from "@rumi/core";
import type { Clock, JsonObject, JsonValue, Random } from "@rumi/core";
import { SafeFilesError } from "./errors.ts";
import { createKeyRing, loadKeyRing, type KeyRingData } from "./key-ring-file.ts";

/** Context of the key that signs records (page "Trust", section 3). */
const RECORDS_INFO = "rumi/records/v1";
const SIGNATURE_HEADER = "rumi-signed-v1";
const ALGORITHM = "HMAC-SHA256";
const DERIVED_BYTES = 32;

/** What a signature says: the object without `_sig` and `_rev`, and its revision; or why it counts for nothing. */
export type Verified =
  | { readonly ok: true; readonly value: JsonObject; readonly rev: number }
  | { readonly ok: false; readonly reason: "unsigned" | "unknown_key" | "bad_signature" };

/** Settings of `Keyring.open`. */
export interface KeyringOptions {
  readonly random?: Random;
  readonly clock?: Clock;
  /** Set when signed files exist: an absent key file is then never replaced by a new key. */
  readonly mustExist?: boolean;
}

/** The signing keys of one home. Secrets stay inside; only signatures and derived keys leave. */
export class Keyring {
  readonly #secrets: ReadonlyMap<string, Uint8Array>;
  readonly #recordKeys: ReadonlyMap<string, Uint8Array>;
  /** Id of the key that signs now. */
  readonly kid: string;

  private constructor(ring: KeyRingData) {
    this.kid = ring.active;
    this.#secrets = new Map(ring.keys.map((key) => [key.id, Buffer.from(key.secret, "base64")]));
    // A retired key no longer vouches for any record.
    const signing = ring.keys.filter((key) => key.retired_at === null);
    this.#recordKeys = new Map(signing.map((key) => [key.id, this.derive(RECORDS_INFO, key.id)]));
  }

  /**
   * Reads the key file, or makes one in a home that has nothing signed yet.
   * @throws SafeFilesError `safe_files.key_file_unsafe`; `safe_files.locked` when it is absent and `mustExist`
   */
  static async open(path: string, options: KeyringOptions = {}): Promise<Keyring> {
    const ring = await loadKeyRing(path);
    if (ring !== null) return new Keyring(ring);
    if (options.mustExist === true) {
      throw new SafeFilesError("safe_files.locked", "the signing key file is missing beside signed files", {
        remedy: "rumi keys reset",
      });
    }
    return new Keyring(await createKeyRing(path, options.clock ?? systemClock, options.random ?? systemRandom));
  }

  /** `object` (with its `_rev`) plus `_sig`. `kind` and `name` come from where the file lies, never from its contents. */
  sign(kind: string, name: string, object: JsonObject): JsonObject {
    const { _sig: _dropped, ...unsigned } = object;
    const mac = this.#mac(this.kid, kind, name, unsigned);
    return { ...unsigned, _sig: { alg: ALGORITHM, kid: this.kid, mac: mac.toString("hex") } };
  }

  /** Judges a signed object; every doubt is a "no". */
  verify(kind: string, name: string, object: JsonValue): Verified {
    if (!isJsonObject(object) || !isJsonObject(object._sig)) return { ok: false, reason: "unsigned" };
    const { _sig: signature, ...unsigned } = object;
    const { _rev: rev, ...value } = unsigned;
    const { alg, kid, mac } = signature;
    if (alg !== ALGORITHM || typeof kid !== "string" || typeof mac !== "string") return { ok: false, reason: "unsigned" };
    if (typeof rev !== "number" || !Number.isSafeInteger(rev) || rev < 1) return { ok: false, reason: "unsigned" };
    if (!this.#recordKeys.has(kid)) return { ok: false, reason: "unknown_key" };
    if (!/^[0-9a-f]{64}$/u.test(mac)) return { ok: false, reason: "bad_signature" };
    let expected: Buffer;
    try {
      expected = this.#mac(kid, kind, name, unsigned);
    } catch {
      return { ok: false, reason: "bad_signature" };
    }
    if (!timingSafeEqual(expected, Buffer.from(mac, "hex"))) return { ok: false, reason: "bad_signature" };
    return { ok: true, value, rev };
  }

  /** A 32-byte key of its own for `info` (HKDF-SHA256), from the active secret or the one named by `kid`. */
  derive(info: string, kid: string = this.kid): Uint8Array {
    const secret = this.#secrets.get(kid);
    if (secret === undefined) throw new SafeFilesError("safe_files.locked", "the key ring has no such key");
    return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), info, DERIVED_BYTES));
  }

  #mac(kid: string, kind: string, name: string, unsigned: JsonObject): Buffer {
    const key = this.#recordKeys.get(kid);
    if (key === undefined) throw new SafeFilesError("safe_files.locked", "the key ring has no such key");
    return createHmac("sha256", key).update(`${SIGNATURE_HEADER}\0${kind}\0${name}\0`).update(canonicalJson(unsigned)).digest();
  }
}

/** Where a home keeps signed files, as folders below `user_data` (page "Trust", section 2). */
const SIGNED_FOLDERS = [
  "permissions",
  "permissions/approvals",
  "permissions/capabilities",
  "permissions/network",
  "capabilities/trust",
  "units/trust",
  "stores",
];

/** True when a home holds signed files, so that its key file must exist (`KeyringOptions.mustExist`). */
export async function hasSignedFiles(userData: string): Promise<boolean> {
  for (const folder of SIGNED_FOLDERS) {
    const names = await readdir(join(userData, folder)).catch(() => []);
    if (names.some((name) => name.endsWith(".json") && !name.startsWith("."))) return true;
  }
  return false;
}

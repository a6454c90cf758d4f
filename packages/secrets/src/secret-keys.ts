import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import type { Random } from "@rumi/core";
import * as v from "valibot";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KID_BYTES = 8;
const CIPHER = "aes-256-gcm";
const KID_INFO = "rumi/secrets-kid/v1";

/** What one of our keys is used for: each purpose has a key of its own. */
export type KeyPurpose = "file" | "journal";
const PURPOSE_INFO: Readonly<Record<KeyPurpose, string>> = { file: "rumi/secrets/v1", journal: "rumi/journal/v1" };

const hex = (bytes: number) => v.pipe(v.string(), v.regex(/^[0-9a-f]*$/u), v.length(2 * bytes));

/** An encrypted text as it stands in JSON. */
export const SealedBox = v.object({
  kid: hex(KID_BYTES),
  nonce: hex(NONCE_BYTES),
  ciphertext: v.pipe(v.string(), v.base64()),
  tag: hex(TAG_BYTES),
});
export type SealedBox = v.InferOutput<typeof SealedBox>;

/** A line of a key file: 32 bytes in base64. */
const KEY_LINE = /^[A-Za-z0-9+/]{43}=$/u;

/** The keys that encrypt secrets: the first encrypts, the others only decrypt. The bytes never leave. */
export class SecretKeys {
  readonly #secrets: readonly Buffer[];
  readonly #byKid: ReadonlyMap<string, Buffer>;
  /** Id of the key that encrypts; derived from it. */
  readonly kid: string;

  private constructor(secrets: readonly Buffer[]) {
    this.#secrets = secrets;
    this.#byKid = new Map(secrets.map((secret) => [derive(secret, KID_INFO, KID_BYTES).toString("hex"), secret]));
    this.kid = this.#byKid.keys().next().value ?? "";
  }

  /** Keys of a file's text, one for each line; null when it is not such a text. */
  static parse(text: string): SecretKeys | null {
    const lines = text.split("\n").map((line) => line.trim());
    const keys = lines.filter((line) => line !== "");
    if (keys.length === 0 || !keys.every((line) => KEY_LINE.test(line))) return null;
    return new SecretKeys(keys.map((line) => Buffer.from(line, "base64")));
  }

  static create(random: Random): SecretKeys {
    return new SecretKeys([Buffer.from(random.hex(KEY_BYTES), "hex")]);
  }

  /** A new first key; the one before stays, for what is still encrypted with it. */
  rotated(random: Random): SecretKeys {
    return new SecretKeys([Buffer.from(random.hex(KEY_BYTES), "hex"), ...this.#secrets.slice(0, 1)]);
  }

  get count(): number {
    return this.#secrets.length;
  }

  has(kid: string): boolean {
    return this.#byKid.has(kid);
  }

  /** The text of the key file. */
  fileText(): string {
    return this.#secrets.map((secret) => `${secret.toString("base64")}\n`).join("");
  }

  /** Encrypts with the first key. `aad` gets the key id and the nonce, and tells what else must stay as it is. */
  seal(purpose: KeyPurpose, text: string, random: Random, aad: (head: { kid: string; nonce: string }) => string): SealedBox {
    const nonce = random.hex(NONCE_BYTES);
    const head = { kid: this.kid, nonce };
    const cipher = createCipheriv(CIPHER, this.#key(this.kid, purpose), Buffer.from(nonce, "hex"), { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(aad(head)));
    const ciphertext = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return { ...head, ciphertext: ciphertext.toString("base64"), tag: cipher.getAuthTag().toString("hex") };
  }

  /** The text, or null when key, `aad` or any byte is not what it was. */
  open(purpose: KeyPurpose, box: SealedBox, aad: string): string | null {
    if (!this.#byKid.has(box.kid)) return null;
    try {
      const nonce = Buffer.from(box.nonce, "hex");
      const decipher = createDecipheriv(CIPHER, this.#key(box.kid, purpose), nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(aad));
      decipher.setAuthTag(Buffer.from(box.tag, "hex"));
      return Buffer.concat([decipher.update(Buffer.from(box.ciphertext, "base64")), decipher.final()]).toString("utf8");
    } catch {
      return null;
    }
  }

  #key(kid: string, purpose: KeyPurpose): Buffer {
    return derive(this.#byKid.get(kid) ?? Buffer.alloc(0), PURPOSE_INFO[purpose], KEY_BYTES);
  }
}

function derive(secret: Buffer, info: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), info, bytes));
}

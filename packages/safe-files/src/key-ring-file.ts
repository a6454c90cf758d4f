import { constants } from "node:fs";
import { link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isoTime, type Clock, type Random } from "@rumi/core";
import * as v from "valibot";
import { SafeFilesError, systemCode } from "./errors.ts";
import { ensureFolder, syncParent } from "./folder.ts";
import { parseJsonBytes } from "./json-file.ts";
import { READ_FLAGS } from "./read-file.ts";

/** Bytes of one signing secret (page "Trust", section 3). */
const SECRET_BYTES = 32;
const MAX_KEY_FILE_BYTES = 64 * 1024;
const OTHERS_MASK = 0o077;

const Key = v.object({
  id: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,64}$/u)),
  secret: v.pipe(
    v.string(),
    v.base64(),
    v.check((text) => Buffer.from(text, "base64").length === SECRET_BYTES),
  ),
  created_at: v.string(),
  retired_at: v.nullable(v.string()),
});

const KeyRingFile = v.pipe(
  v.object({ active: v.string(), keys: v.pipe(v.array(Key), v.minLength(1)) }),
  v.check((ring) => ring.keys.some((key) => key.id === ring.active && key.retired_at === null)),
  v.check((ring) => new Set(ring.keys.map((key) => key.id)).size === ring.keys.length),
);

/** The signing keys of one home: the active one and those that only verify. */
export type KeyRingData = v.InferOutput<typeof KeyRingFile>;

/**
 * The key ring of a file that only its owner can read, or null when there is none.
 * @throws SafeFilesError `safe_files.key_file_unsafe` for a link, another owner, an open mode or unreadable contents
 */
export async function loadKeyRing(path: string): Promise<KeyRingData | null> {
  try {
    await using handle = await open(path, READ_FLAGS);
    const stat = await handle.stat();
    if (!stat.isFile()) throw unsafe("the signing key file is not a regular file");
    if ((stat.mode & OTHERS_MASK) !== 0) throw unsafe("the signing key file is open to other users", "chmod 600");
    const owner = process.getuid?.();
    if (owner !== undefined && stat.uid !== owner) throw unsafe("the signing key file belongs to another user");
    if (stat.size > MAX_KEY_FILE_BYTES) throw unsafe("the signing key file is too large");
    const parsed = v.safeParse(KeyRingFile, parseJsonBytes(await handle.readFile()));
    if (!parsed.success) throw unsafe("the signing key file is not a key ring");
    return parsed.output;
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return null;
    if (cause instanceof SafeFilesError && cause.code === "safe_files.key_file_unsafe") throw cause;
    throw new SafeFilesError("safe_files.key_file_unsafe", "the signing key file cannot be read", { cause });
  }
}

/** Makes a ring of one new key. Of two that do so at once one wins; both get the winner's. */
export async function createKeyRing(path: string, clock: Clock, random: Random): Promise<KeyRingData> {
  const id = random.hex(8);
  const secret = Buffer.from(random.hex(SECRET_BYTES), "hex").toString("base64");
  const ring: KeyRingData = {
    active: id,
    keys: [{ id, secret, created_at: isoTime(clock.now()), retired_at: null }],
  };
  await ensureFolder(dirname(path));
  await writeExclusively(path, `${JSON.stringify(ring, null, 2)}\n`, random);
  return (await loadKeyRing(path)) ?? ring;
}

/** Puts the file whole, never over an existing one: a hard link of a finished file fails where a name exists. */
async function writeExclusively(path: string, text: string, random: Random): Promise<void> {
  const temporary = `${path}.${random.hex(6)}.tmp`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    await using handle = await open(temporary, flags, 0o600);
    await handle.writeFile(text);
    await handle.sync();
    await link(temporary, path);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncParent(path);
}

function unsafe(message: string, remedy?: string): SafeFilesError {
  return new SafeFilesError("safe_files.key_file_unsafe", message, remedy === undefined ? {} : { remedy });
}

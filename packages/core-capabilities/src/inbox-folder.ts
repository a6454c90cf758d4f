import { chmod, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { ensureFolder, writeFileAtomic } from "@rumi/safe-files";

/** What one inbox may hold. Source: page "Trust", section 8. */
const MAX_MESSAGES = 1_000;
const MAX_INBOX_BYTES = 64 * 1024 * 1024;

/** The receiver reads it as another user, and nobody but the daemon writes there. Source: page "Execution", section 4. */
const INBOX_MODE = 0o755;
const MESSAGE_MODE = 0o644;

/** The folders in which packs find what others sent: `packs/<pack>/inbox/<message>.json`. */
export class InboxFolder {
  readonly #packs: string;
  /** One writer per inbox, so that its limits hold. */
  readonly #turns = new Map<PackId, Promise<unknown>>();

  constructor(userData: string) {
    this.#packs = join(userData, "packs");
  }

  /** Writes a message whole, or not at all. False: the inbox is full. */
  put(receiver: PackId, messageId: string, text: string): Promise<boolean> {
    const before = this.#turns.get(receiver) ?? Promise.resolve();
    const turn = before.then(
      () => this.#put(receiver, messageId, text),
      () => this.#put(receiver, messageId, text),
    );
    this.#turns.set(receiver, turn);
    const over = (): void => {
      if (this.#turns.get(receiver) === turn) this.#turns.delete(receiver);
    };
    turn.then(over, over);
    return turn;
  }

  async #put(receiver: PackId, messageId: string, text: string): Promise<boolean> {
    const home = join(this.#packs, receiver);
    await ensureFolder(home);
    const folder = join(home, "inbox");
    await ensureFolder(folder, INBOX_MODE);
    await chmod(folder, INBOX_MODE);
    const held = await contents(folder);
    if (held.count >= MAX_MESSAGES || held.bytes + Buffer.byteLength(text) > MAX_INBOX_BYTES) return false;
    const path = join(folder, `${messageId}.json`);
    await writeFileAtomic(path, text, { mode: MESSAGE_MODE });
    await chmod(path, MESSAGE_MODE);
    return true;
  }
}

async function contents(folder: string): Promise<{ readonly count: number; readonly bytes: number }> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json") && !name.startsWith("."));
  const sizes = await Promise.all(names.map(async (name) => (await lstat(join(folder, name)).catch(() => null))?.size ?? 0));
  return { count: names.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

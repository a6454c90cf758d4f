import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { systemClock, systemRandom } from "@rumi/core";
import { SafeFilesError, systemCode } from "./errors.ts";
import { TREE_LIMITS } from "./tree-path.ts";

/** A change this young may share its timestamp with a later one: file systems keep time in ticks of some ms. */
const UNSETTLED_MS = 100;

/**
 * Entries looked at. A tree of more passes the limits of every pack, so that its bytes are never hashed to their end:
 * the count of what is left out says enough of it.
 */
const MAX_ENTRIES = TREE_LIMITS.maxFiles + TREE_LIMITS.maxFolders;

/** Entries asked for at once. */
const STATS_AT_ONCE = 32;

/**
 * A fingerprint of names, kinds, modes, sizes, times and inodes, without reading a file. Equal to an earlier one means:
 * the bytes are those hashed after that earlier one was taken. A tree that changed within the last 100 ms gets a
 * fingerprint that equals no other. Past `maxEntries` only the number of names in a folder counts.
 * @throws SafeFilesError `safe_files.not_found`
 */
export async function statTree(root: string, options: { readonly maxEntries?: number } = {}): Promise<string> {
  const lines: string[] = [];
  let left = options.maxEntries ?? MAX_ENTRIES;
  let youngest = 0n;
  const look = async (path: Buffer, stat: BigIntStats): Promise<void> => {
    if (stat.ctimeMs > youngest) youngest = stat.ctimeMs;
    lines.push(
      `${path.toString("latin1")}\0${[stat.mode, stat.nlink, stat.size, stat.mtimeNs, stat.ctimeNs, stat.dev, stat.ino].join(" ")}`,
    );
    if (!stat.isDirectory()) return;
    const children = await readdir(path, { encoding: "buffer" }).catch(absentIsEmpty);
    left -= children.length;
    if (left < 0) return void lines.push(`${path.toString("latin1")}\0${children.length} more`);
    const names = children.map((name) => Buffer.concat([path, SLASH, name]));
    for (let at = 0; at < names.length; at += STATS_AT_ONCE) {
      const some = names.slice(at, at + STATS_AT_ONCE);
      const stats = await Promise.all(some.map((name) => lstat(name, { bigint: true }).catch(() => null)));
      for (const [index, name] of some.entries()) {
        const child = stats[index];
        if (child === undefined || child === null) lines.push(`${name.toString("latin1")}\0gone`);
        else await look(name, child);
      }
    }
  };
  const top = Buffer.from(root);
  await look(top, await rootStat(root));
  const hash = createHash("sha256").update(lines.sort().join("\n"));
  if (systemClock.now() - Number(youngest) < UNSETTLED_MS) hash.update(systemRandom.hex(16));
  return hash.digest("hex");
}

const SLASH = Buffer.from("/");

async function rootStat(root: string): Promise<BigIntStats> {
  try {
    return await lstat(root, { bigint: true });
  } catch (cause) {
    if (systemCode(cause) !== "ENOENT") throw cause;
    throw new SafeFilesError("safe_files.not_found", "the folder is not there", { cause });
  }
}

function absentIsEmpty(error: unknown): Buffer<ArrayBuffer>[] {
  if (["ENOENT", "ENOTDIR", "EACCES"].includes(systemCode(error) ?? "")) return [];
  throw error;
}

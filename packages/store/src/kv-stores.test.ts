import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import type { TemporaryFolder } from "@rumi/testkit";
import { afterAll } from "vitest";
import { MemoryKvStore } from "./memory-kv-store.ts";
import { SqliteKvStore } from "./sqlite-kv-store.ts";
import { kvStoreContract } from "./testing/index.ts";

const folders: TemporaryFolder[] = [];
afterAll(() => Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]())));

kvStoreContract("MemoryKvStore", () => Promise.resolve(new MemoryKvStore()));
kvStoreContract("SqliteKvStore", async () => {
  const folder = await temporaryFolder();
  folders.push(folder);
  return new SqliteKvStore(join(folder.path, "stores", "stores.db"));
});

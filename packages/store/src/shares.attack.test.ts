import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { MemoryKvStore } from "./memory-kv-store.ts";
import { openTestRegistry } from "./testing/index.ts";

const sides = { provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", actor: "t" };

/** A home where a shares its store with b, for reading; `attack` changes files of it before the next start. */
async function afterRestart(attack: (file: string, older: string) => Promise<void>) {
  const home = await temporaryFolder();
  const kv = new MemoryKvStore();
  const first = await openTestRegistry(home.path, kv);
  const file = join(first.userData, "stores", "sharing.json");
  await first.registry.declare("a" as PackId, [{ store_id: "s" }]);
  await first.registry.share({ ...sides, mode: "read_write" });
  const older = await readFile(file, "utf8");
  await first.registry.share(sides);
  await attack(file, older);
  return { home, ...(await openTestRegistry(home.path, kv)) };
}

const ATTACKS: Readonly<Record<string, (file: string, older: string) => Promise<void>>> = {
  "mode raised": async (file) => writeFile(file, (await readFile(file, "utf8")).replace('"read"', '"read_write"')),
  "consumer added": async (file) => writeFile(file, (await readFile(file, "utf8")).replace('"b"', '"evil"')),
  "signature cut off": async (file) => {
    const { _sig: _, ...rest } = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    await writeFile(file, JSON.stringify(rest));
  },
  "older file put back": (file, older) => writeFile(file, older),
  "file removed": (file) => rm(file),
  "half written": async (file) => writeFile(file, (await readFile(file, "utf8")).slice(0, 200)),
  empty: (file) => writeFile(file, ""),
  "null, list, number": (file) => writeFile(file, "null"),
  __proto__: (file) => writeFile(file, '{"__proto__":{"shares":[]},"shares":[]}'),
};

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`shares file with ${name}: no share holds, it is told, and a new yes mends it`, async () => {
    const { home, registry, audit, diagnostics } = await afterRestart(attack);
    await using _home = home;
    expect(registry.shares()).toEqual([]);
    for (const pack of ["b", "evil"]) {
      for (const want of ["read", "write"] as const) {
        expect(registry.access(pack as PackId, "a__s", want)).toMatchObject({ allowed: false, code: "store.share_required" });
      }
    }
    expect(registry.access("a" as PackId, "a__s", "write").allowed).toBe(true);
    expect(audit.events).toMatchObject([{ category: "security", severity: "critical", action: "record_tampered", success: false }]);
    expect(diagnostics.reports).toContainEqual(expect.objectContaining({ kind: "store_shares", status: "failed" }));
    await registry.share(sides);
    expect(registry.access("b" as PackId, "a__s", "read").allowed).toBe(true);
    expect(registry.access("b" as PackId, "a__s", "write").allowed).toBe(false);
  });
}

test("a share of another file of the home, copied here, is believed no more than an edit", async () => {
  const { home, registry } = await afterRestart(async (file) => {
    await writeFile(file, await readFile(join(file, "..", "..", "permissions", "revisions.json"), "utf8"));
  });
  await using _home = home;
  expect(registry.shares()).toEqual([]);
});

test("names that look like others', or like members of objects, own and share nothing", async () => {
  await using home = await temporaryFolder();
  const { registry } = await openTestRegistry(home.path);
  await registry.declare("a" as PackId, [{ store_id: "s" }]);
  for (const store of ["__proto__", "constructor", "toString", "A__s", "a__S", "a__s ", "a__s\0", ""]) {
    expect(registry.owner(store)).toBeUndefined();
    expect(registry.access("a" as PackId, store, "read")).toMatchObject({ allowed: false, code: "store.not_found" });
  }
  for (const pack of ["A", "a ", "__proto__", "", "a_", "a__", "__a"]) {
    expect(registry.access(pack as PackId, "a__s", "read")).toMatchObject({ allowed: false, code: "store.share_required" });
  }
});

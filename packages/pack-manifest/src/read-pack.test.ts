import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import { discoverPacks } from "./discovery.ts";
import { readPack } from "./read-pack.ts";

async function put(root: string, path: string, content: unknown): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), typeof content === "string" ? content : JSON.stringify(content));
}

const minimal = {
  pack_id: "my_pack",
  pack_identity: "github:author/my_pack",
  version: "1.0.0",
  description: "My first pack",
  pack_identity_vocabulary: ["my_pack"],
};

function nested(depth: number): string {
  return `{"pack_id":"p","pack_identity":"local:p","metadata":{"a":${"[".repeat(depth - 2)}${"]".repeat(depth - 2)}}}`;
}

describe("reading a pack", () => {
  test("T6 the seeds' minimal manifest is valid", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "my_pack/backend/ecosystem.json", minimal);
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({
      ok: true,
      pack: { pack_id: "my_pack", subdir: "backend", permissions: null, routes: [], reuse: false, warnings: [] },
    });
  });

  test("T6 unknown keys and keys without effect warn, at their place", async () => {
    await using home = await temporaryFolder();
    const manifest = {
      ...minimal,
      colour: 1,
      enabled: true,
      runtime: { reuse: true, gpu: 2 },
      connectivity: { requires: ["x"], wants: [] },
    };
    await put(home.path, "my_pack/ecosystem.json", manifest);
    const read = await readPack(join(home.path, "my_pack"), "my_pack");
    expect(read).toMatchObject({ ok: true, pack: { reuse: true } });
    const warnings = read.ok ? read.pack.warnings : [];
    expect(warnings.map(({ code, path }) => `${code} ${path ?? ""}`)).toEqual(
      [
        "pack_manifest.unknown_key connectivity.wants",
        "pack_manifest.unknown_key runtime.gpu",
        "pack_manifest.unknown_key colour",
        "pack_manifest.ignored_key enabled",
      ].toSorted(byKeyOrder(Object.keys(manifest))),
    );
  });

  test("T3 a folder p declaring q is id_mismatch", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "p/ecosystem.json", { ...minimal, pack_id: "q" });
    expect(await readPack(join(home.path, "p"), "p")).toMatchObject({
      ok: false,
      problems: [{ code: "pack_manifest.id_mismatch", severity: "error" }],
    });
  });

  test("T7 too large, too deep, __proto__ or no JSON: that pack is an error, others load", async () => {
    await using home = await temporaryFolder();
    const padded = JSON.stringify({ pack_id: "p", pack_identity: "local:p" }).padEnd(2 * 1024 * 1024 + 1, " ");
    const cases: Record<string, unknown> = {
      big: padded.replace('"p"', '"big"'),
      deep: nested(66).replace('"p"', '"deep"'),
      proto: '{"pack_id":"proto","pack_identity":"local:p","metadata":{"__proto__":{}}}',
      ctor: '{"pack_id":"ctor","pack_identity":"local:p","metadata":{"constructor":1}}',
      text: "not json",
      list: [],
      bare: {},
      version: { pack_id: "version", pack_identity: "local:p", version: "one" },
      identity: { pack_id: "identity", pack_identity: "no scheme" },
    };
    for (const [id, content] of Object.entries(cases)) await put(home.path, `${id}/ecosystem.json`, content);
    await put(home.path, "fine/ecosystem.json", { pack_id: "fine", pack_identity: "local:fine" });
    const { found } = await discoverPacks(home.path);
    const reads = new Map<string, boolean>();
    for (const pack of found) reads.set(pack.pack_id, (await readPack(pack.folder, pack.pack_id)).ok);
    expect([...reads].filter(([, ok]) => ok).map(([id]) => id)).toEqual(["fine"]);
    expect(reads.size).toBe(10);
  });

  test("T7 exactly 2 MiB and depth 64 pass", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "p/ecosystem.json", nested(64).padEnd(2 * 1024 * 1024, " "));
    expect(await readPack(join(home.path, "p"), "p")).toMatchObject({ ok: true });
  });

  test("a file of a million values is refused whole, in few words", async () => {
    await using home = await temporaryFolder();
    const zeros = Array.from({ length: 1_000_000 }, () => 0);
    await put(home.path, "p/ecosystem.json", { ...minimal, pack_id: "p", required_secrets: zeros });
    const manifest = await readPack(join(home.path, "p"), "p");
    expect(manifest).toMatchObject({ ok: false, problems: [{ code: "pack_manifest.invalid", file: "ecosystem.json" }] });
    await put(home.path, "p/ecosystem.json", { ...minimal, pack_id: "p" });
    await put(home.path, "p/permissions.json", { permissions: zeros });
    expect(await readPack(join(home.path, "p"), "p")).toMatchObject({
      ok: false,
      problems: [{ code: "pack_manifest.invalid", file: "permissions.json" }],
    });
  });

  test("of thousands of problems the errors and the first hundred are told, the rest counted", async () => {
    await using home = await temporaryFolder();
    const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`key_${n}`, 1]));
    await put(home.path, "p/ecosystem.json", { ...minimal, pack_id: "p", ...unknown });
    const read = await readPack(join(home.path, "p"), "p");
    const warnings = read.ok ? read.pack.warnings : [];
    expect(warnings).toHaveLength(101);
    expect(warnings.at(-1)).toMatchObject({ severity: "warning", message: "and 4900 more" });
    await put(home.path, "p/permissions.json", "not json");
    const broken = await readPack(join(home.path, "p"), "p");
    expect(broken.ok ? [] : broken.problems).toHaveLength(101);
    expect(broken.ok ? null : broken.problems[0]).toMatchObject({ severity: "error", file: "permissions.json" });
  });

  test("a manifest that uses every optional field is read", async () => {
    await using home = await temporaryFolder();
    const full = {
      ...minimal,
      description: "d",
      display_name: "n",
      author: { name: "a" },
      license: "MIT",
      metadata: {},
      pack_uuid: "u",
      pack_identity_vocabulary: [],
      vocabulary: { types: ["a"], custom_types: {} },
      components: [],
      uses_vocab: [],
      connectivity: { provides: ["a.b"], requires: ["c.d"] },
      dependencies: { other: "^1.0.0" },
      depends_on: ["other"],
      load_order: 1,
      stores: [{ store_id: "s", max_bytes: 1, max_keys: 1 }],
      required_secrets: ["KEY"],
      required_network: { allowed_domains: ["a.b"], allowed_ports: [443] },
      egress_allow_domains: ["a.b"],
      egress_deny_domains: ["a.b"],
      pack_type: "rule",
      provides_runtime: ["lua"],
      runtime_type: "python",
      runtime: { reuse: true },
      host_execution: true,
    };
    await put(home.path, "my_pack/ecosystem.json", full);
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({ ok: true, pack: { manifest: full, warnings: [] } });
  });

  test("T72 an eleventh store refuses the manifest", async () => {
    await using home = await temporaryFolder();
    const stores = (count: number): unknown => ({
      ...minimal,
      stores: Array.from({ length: count }, (_, index) => ({ store_id: `s${index}` })),
    });
    await put(home.path, "my_pack/ecosystem.json", stores(10));
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({ ok: true });
    await put(home.path, "my_pack/ecosystem.json", stores(11));
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({ ok: false, problems: [{ path: "stores" }] });
  });

  test("a manifest that is a link is no manifest", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "elsewhere.json", minimal);
    await mkdir(join(home.path, "my_pack"));
    await symlink(join(home.path, "elsewhere.json"), join(home.path, "my_pack/ecosystem.json"));
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({
      ok: false,
      problems: [{ code: "pack_manifest.invalid" }],
    });
  });

  test("permissions and routes are read beside the manifest; entries not understood are left out one by one", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "my_pack/backend/ecosystem.json", minimal);
    await put(home.path, "my_pack/backend/permissions.json", {
      pack_id: "my_pack",
      permissions: [
        { type: "network", domains: ["api.example.com"], ports: [443], reason: "why" },
        { type: "teleport" },
        { type: "capability", permission_id: "store.get" },
      ],
    });
    await put(home.path, "my_pack/backend/routes.json", {
      routes: [
        { method: "POST", path: "/api/my_pack/{id}", flow_id: "my_pack.x" },
        { method: "BREW", path: "/api/x", flow_id: "my_pack.x" },
        { method: "GET", path: "/a/{x}/{x}", flow_id: "my_pack.x" },
        { method: "GET", path: "/a/../b", flow_id: "my_pack.x" },
      ],
    });
    const read = await readPack(join(home.path, "my_pack"), "my_pack");
    if (!read.ok) throw new Error("expected a pack");
    expect(read.pack.permissions?.map((permission) => permission.type)).toEqual(["network", "capability"]);
    expect(read.pack.routes).toEqual([
      { method: "POST", path: "/api/my_pack/{id}", flow_id: "my_pack.x", description: "", timeout: 300, public: false },
    ]);
    expect(read.pack.warnings.map(({ code, path }) => `${code} ${path ?? ""}`)).toEqual([
      "pack_manifest.entry_refused permissions.1.type",
      "pack_manifest.entry_refused routes.1.method",
      "pack_manifest.entry_refused routes.2.path",
      "pack_manifest.entry_refused routes.3.path",
    ]);
  });

  test("a routes.json that is no JSON keeps the pack out", async () => {
    await using home = await temporaryFolder();
    await put(home.path, "my_pack/ecosystem.json", minimal);
    await put(home.path, "my_pack/routes.json", "{");
    expect(await readPack(join(home.path, "my_pack"), "my_pack")).toMatchObject({ ok: false, problems: [{ file: "routes.json" }] });
  });
});

/** Warnings come in the order of the file's keys. */
function byKeyOrder(keys: readonly string[]): (a: string, b: string) => number {
  const rank = (line: string): number => keys.indexOf((line.split(" ")[1] ?? "").split(".")[0] ?? "");
  return (a, b) => rank(a) - rank(b);
}

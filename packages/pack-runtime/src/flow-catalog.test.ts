import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PackApprovals } from "@rumi/approval";
import type { FlowId, PackId } from "@rumi/core";
import { sha256 } from "@rumi/core";
import { MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { FlowCatalog } from "./flow-catalog.ts";
import { operatorKernelHandlers } from "./kernel-handlers.ts";
import { ManualTimers } from "./testing/manual-timers.ts";

type Approvals = Pick<PackApprovals, "approved" | "list" | "gate">;

function flow(id: string, step = "type: set\n    input: { key: a, value: 1 }"): string {
  return `flow_id: ${id}\nphases: [main]\nsteps:\n  - id: s\n    phase: main\n    ${step}\n`;
}

async function makeCatalog() {
  const folder = await temporaryFolder();
  const timers = new ManualTimers();
  const audit = new MemoryAudit();
  const diagnostics = new MemoryDiagnostics();
  const at = (...parts: string[]) => join(folder.path, ...parts);
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(at(path)), { recursive: true });
    await writeFile(at(path), text);
  };
  await mkdir(at("flows"));
  await mkdir(at("shared"));
  await mkdir(at("ecosystem"));
  /** Packs that may run, by id: the folder of their snapshot and its subdir. */
  const open = new Map<string, { root: string; subdir: string }>();
  const closed = new Map<string, string>();
  const approvals = {
    approved: () => [...open].map(([id, place]) => ({ pack_id: id, ...place })),
    list: () => [...open.keys(), ...closed.keys()].map((id) => ({ pack_id: id })),
    gate: (id: PackId) =>
      open.has(id)
        ? { allowed: true }
        : { allowed: false, code: "approval.not_approved", reason: "no", because: closed.get(id) ?? "absent" },
  } as unknown as Approvals;
  const catalog = new FlowCatalog(
    {
      approvals,
      blocks: { resolve: (pack, file) => ({ found: true, file, runtime: "python", digest: sha256(pack) }) },
      handlers: () => operatorKernelHandlers({} as Parameters<typeof operatorKernelHandlers>[0]),
      audit,
      diagnostics,
      clock: timers,
      timers,
      logger: silentLogger,
    },
    {
      officialFolder: at("flows"),
      sharedFolder: at("shared"),
      ecosystemFolder: at("ecosystem"),
      legacyFolders: [at("flow")],
      maxFileBytes: 1024,
    },
  );
  const ids = () => catalog.table.list().map((composed) => composed.definition.flow_id);
  return {
    catalog,
    timers,
    audit,
    diagnostics,
    at,
    write,
    open,
    closed,
    ids,
    [Symbol.asyncDispose]: async () => {
      await catalog[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test("official, shared and pack flows are read from their own places; modifiers and links are not flows", async () => {
  await using scene = await makeCatalog();
  const { at, catalog, ids, open, write } = scene;
  await write("flows/00.flow.yaml", flow("official"));
  await write("flows/deep/no.flow.yaml", flow("not_this"));
  await write("shared/a.flow.yaml", flow("shared"));
  await write("shared/deep/b.flow.yaml", flow("deep"));
  await write("shared/modifiers/m.flow.yaml", flow("in_modifiers"));
  await write("shared/notes.txt", "x");
  await symlink(at("shared/a.flow.yaml"), at("shared/link.flow.yaml"));
  await write("snap/backend/flows/x.flow.yaml", flow("alpha.x"));
  open.set("alpha", { root: at("snap"), subdir: "backend" });
  await catalog.reload();
  expect(ids()).toEqual(["alpha.x", "deep", "official", "shared"]);
  expect(catalog.last.problems).toEqual([]);
});

test("F10 F11 the higher source keeps an id; the other file is out alone", async () => {
  await using scene = await makeCatalog();
  const { at, catalog, open, write } = scene;
  await write("flows/00.flow.yaml", flow("one"));
  await write("shared/one.flow.yaml", flow("one"));
  await write("shared/p.flow.yaml", flow("alpha.a"));
  await write("snap/flows/a.flow.yaml", flow("alpha.a"));
  open.set("alpha", { root: at("snap"), subdir: "" });
  await catalog.reload();
  expect(catalog.table.get("one")?.definition.source.source).toBe("official");
  expect(catalog.table.get("alpha.a")?.definition.source.source).toBe("shared");
  expect(catalog.last.skipped.map((skip) => [skip.source, skip.file, skip.code])).toEqual([
    ["shared", "one.flow.yaml", "flow.duplicate_id"],
    ["pack", "flows/a.flow.yaml", "flow.duplicate_id"],
  ]);
});

test("F13 F95 a pack that may not run gives one skip record with its reason; its files are counted by name, not opened", async () => {
  await using scene = await makeCatalog();
  const { catalog, closed, write } = scene;
  for (const name of ["a", "b", "c"]) await write(`ecosystem/alpha/backend/flows/${name}.flow.yaml`, "not: [yaml");
  await write("ecosystem/alpha/backend/ecosystem.json", "{}");
  closed.set("alpha", "ancestor");
  await catalog.reload();
  expect(catalog.last.problems).toEqual([]);
  expect(catalog.last.skipped).toMatchObject([{ source: "pack", pack_id: "alpha", file: null, reason: "ancestor", count: 3 }]);
});

test("F14 a flow of a closed pack is refused with its gate's reason; a new yes and a pack that is gone end that", async () => {
  await using scene = await makeCatalog();
  const { at, catalog, closed, ids, open, write } = scene;
  await write("ecosystem/alpha/flows/a.flow.yaml", flow("alpha.a"));
  await write("ecosystem/alpha/ecosystem.json", "{}");
  closed.set("alpha", "modified");
  await catalog.reload();
  for (const id of ["alpha", "alpha.a", "alpha.not_there"])
    expect([id, catalog.refusal(id)]).toMatchObject([id, { allowed: false, code: "approval.not_approved" }]);
  for (const id of ["alphabet", "alpha_b.a", "beta.a"]) expect(catalog.refusal(id)).toBeNull();
  closed.set("alpha", "absent");
  expect(catalog.refusal("alpha.a")).toBeNull();
  closed.delete("alpha");
  open.set("alpha", { root: at("ecosystem/alpha"), subdir: "" });
  expect(catalog.refusal("alpha.a")).toBeNull();
  await catalog.find("alpha.a" as FlowId);
  expect(ids()).toEqual(["alpha.a"]);
});

test("F14 F94 a flow in a folder of the old layout is not loaded, and the fixed warning is told", async () => {
  await using scene = await makeCatalog();
  await scene.write("flow/x.flow.yaml", flow("old"));
  await scene.catalog.reload();
  expect(scene.ids()).toEqual([]);
  expect(scene.catalog.last.problems).toMatchObject([
    { code: "flow.legacy_path", severity: "warning", message: "WARNING: Using legacy flow path. This is DEPRECATED and will be removed." },
  ]);
});

test("F7 a file of the largest size loads; one byte more, or no UTF-8, is out alone", async () => {
  await using scene = await makeCatalog();
  const { at, catalog, ids, write } = scene;
  const fit = flow("fits");
  await write("shared/a.flow.yaml", fit + "#".repeat(1024 - fit.length));
  await write("shared/b.flow.yaml", `${flow("large")}${"#".repeat(1024)}`);
  await writeFile(at("shared/c.flow.yaml"), new Uint8Array([0xff, 0xfe]));
  await catalog.reload();
  expect(ids()).toEqual(["fits"]);
  expect(catalog.last.skipped.map((skip) => [skip.file, skip.code])).toEqual([
    ["c.flow.yaml", "flow.parse_error"],
    ["b.flow.yaml", "flow.file_too_large"],
  ]);
});

test("F15 an operator handler in a shared flow is refused, and that is in the security audit once", async () => {
  await using scene = await makeCatalog();
  await scene.write("shared/bad.flow.yaml", flow("bad", "type: handler\n    input: kernel:approval.scan"));
  await scene.catalog.reload();
  await scene.catalog.reload();
  expect(scene.ids()).toEqual([]);
  expect(scene.audit.events).toMatchObject([{ category: "security", action: "handler_not_allowed", success: false }]);
  expect(scene.diagnostics.reports).toMatchObject([
    { kind: "flow_file", id: "bad.flow.yaml", status: "failed", code: "flow.handler_not_allowed" },
  ]);
});

test("a file dropped into the shared folder is found by a run of its id, and by the look a second later", async () => {
  await using scene = await makeCatalog();
  const { catalog, ids, timers, write } = scene;
  await catalog.start();
  await write("shared/new.flow.yaml", flow("fresh"));
  await catalog.find("fresh" as FlowId);
  expect(ids()).toEqual(["fresh"]);
  await write("shared/later.flow.yaml", flow("later"));
  await timers.advance(1_000);
  await expect.poll(ids).toEqual(["fresh", "later"]);
});

test("reloads at the same time share the load that sees what is on disk now", async () => {
  await using scene = await makeCatalog();
  const { catalog, ids, write } = scene;
  const first = catalog.reload();
  await write("shared/a.flow.yaml", flow("a"));
  await Promise.all([first, catalog.reload(), catalog.reload()]);
  expect(ids()).toEqual(["a"]);
});

test("F66 allow_wildcard_modifiers in a pack's own manifest changes nothing", async () => {
  await using scene = await makeCatalog();
  const { at, catalog, open, write } = scene;
  await write("shared/base.flow.yaml", flow("base"));
  const modifier = "modifier_id: m\ntarget_flow_id: '*'\naction: append\nstep: {id: w, type: set, input: {key: w, value: 1}}\n";
  await write("snap/ecosystem.json", JSON.stringify({ pack_id: "alpha", pack_identity: "local:alpha", allow_wildcard_modifiers: true }));
  await write("snap/flows/modifiers/m.modifier.yaml", modifier);
  open.set("alpha", { root: at("snap"), subdir: "" });
  await catalog.reload();
  expect(catalog.table.modifiers).toMatchObject([{ modifier_id: "m", applied: false, skipped_reason: "wildcard_not_allowed", wide: true }]);
  expect(catalog.table.get("base")?.order.map((step) => step.id)).toEqual(["s"]);
});

test("the keys each flow writes are told for the review of modifiers", async () => {
  await using scene = await makeCatalog();
  await scene.write("shared/a.flow.yaml", `${flow("a")}inputs: { text: string }\n`);
  await scene.catalog.reload();
  expect(scene.catalog.knownFlows()).toEqual([
    {
      flow_id: "a",
      writes: new Map([
        ["", ["text"]],
        ["s", ["a"]],
      ]),
    },
  ]);
});

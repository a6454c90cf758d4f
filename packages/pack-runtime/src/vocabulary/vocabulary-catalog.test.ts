import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import type { PackId } from "@rumi/core";
import { MemoryDiagnostics } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { VocabularyCatalog } from "./vocabulary-catalog.ts";

let cleanup: AsyncDisposableStack;
let home: TestApprovals;
let diagnostics: MemoryDiagnostics;
let catalog: VocabularyCatalog;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-vocab-"));
  home = cleanup.use(await openTestApprovals(folder.path));
  diagnostics = new MemoryDiagnostics();
  catalog = new VocabularyCatalog({ approvals: home.approvals, diagnostics });
});
afterEach(() => cleanup.disposeAsync());

async function approve(id: string, files: Readonly<Record<string, string>>, manifest: object = {}): Promise<void> {
  const ecosystem = JSON.stringify({ pack_id: id, pack_identity: `github:author/${id}`, ...manifest });
  await home.putPack(id, { "ecosystem.json": ecosystem, ...files });
  await home.approvals.approve(id, { actor: "test" });
  await catalog.reload();
}

const groupsOf = (id: string): readonly (readonly string[])[] | undefined =>
  catalog.groups(id as PackId)?.groups.map((group) => group.terms);
const told = (): string[] => diagnostics.reports.map((report) => `${report.id} ${report.status}: ${report.message}`);

test("groups come from vocab.txt of the approved bytes, each pack's for itself", async () => {
  await approve("alpha", { "vocab.txt": "content, text" });
  await approve("beta", { "backend/vocab.txt": "content = body" });
  await approve("gamma", {});
  expect(groupsOf("alpha")).toEqual([["content", "text"]]);
  expect(groupsOf("beta")).toEqual([["content", "body"]]);
  expect(groupsOf("gamma")).toEqual([]);
  expect(groupsOf("unknown")).toBeUndefined();
  expect(told()).toEqual([]);
});

test("of a file in the root and one below backend the root's counts", async () => {
  await approve("alpha", { "vocab.txt": "a, b", "backend/vocab.txt": "c, d" });
  expect(groupsOf("alpha")).toEqual([["a", "b"]]);
});

test("F79 uses_vocab: false opts the pack out; what it says is still shown", async () => {
  await approve("alpha", { "vocab.txt": "content, text" }, { uses_vocab: false });
  expect(catalog.groups("alpha" as PackId)).toBeNull();
  expect(catalog.facts("alpha")).toMatchObject({ uses_vocab: false, vocab: { groups: [{ preferred: "content" }] } });
});

test("only approved bytes count: what is edited, rejected or not approved has no words", async () => {
  await approve("alpha", { "vocab.txt": "content, text" });
  await home.putPack("alpha", { "vocab.txt": "content, text, body" });
  await home.approvals.scan();
  await catalog.reload();
  expect(groupsOf("alpha")).toBeUndefined();
  await home.approvals.approve("alpha", { actor: "test" });
  await catalog.reload();
  expect(groupsOf("alpha")).toEqual([["content", "text", "body"]]);
  await home.approvals.reject("alpha", { actor: "test" });
  await catalog.reload();
  expect(catalog.facts("alpha")).toBeUndefined();
});

test("what is not in order is told, left out alone, and well again when mended", async () => {
  await approve("alpha", { "vocab.txt": "_a, b\nc, d\n" });
  expect(groupsOf("alpha")).toEqual([["c", "d"]]);
  await approve("beta", { "vocab.txt": `# ${"x".repeat(64 * 1024)}` });
  await approve("gamma", { "vocab.txt": "x".repeat(64 * 1024) });
  expect(groupsOf("beta")).toEqual([]);
  await approve("alpha", { "vocab.txt": "c, d" });
  expect(told()).toEqual([
    "alpha degraded: vocab.txt line 1: a term does not begin with _, nor is it constructor or prototype",
    "beta degraded: vocab.txt: the file is larger than 65536 bytes",
    "alpha ok: in order",
  ]);
});

test("converters are named by their words; of two for the same words one counts", async () => {
  await approve("alpha", {
    "converters/tool_to_function_calling.py": "",
    "converters/a_to_b.ts": "",
    "converters/a_to_b.js": "",
    "converters/readme.md": "",
    "converters/deep/c_to_d.py": "",
    "backend/converters/a_to_b.py": "",
    "backend/converters/x_to_y_to_z.mjs": "",
  });
  expect(catalog.facts("alpha")?.converters).toEqual([
    { from: "a", to: "b", file: "converters/a_to_b.js", runtime: "node" },
    { from: "tool", to: "function_calling", file: "converters/tool_to_function_calling.py", runtime: "python" },
    { from: "x", to: "y_to_z", file: "backend/converters/x_to_y_to_z.mjs", runtime: "node" },
  ]);
  expect(told()).toEqual(["alpha degraded: converters/a_to_b.ts: converters/a_to_b.js converts the same words, and 1 more"]);
});

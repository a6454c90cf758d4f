import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import { MemoryDiagnostics } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FunctionCatalog } from "./function-catalog.ts";

let cleanup: AsyncDisposableStack;
let home: TestApprovals;
let diagnostics: MemoryDiagnostics;
let catalog: FunctionCatalog;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-functions-"));
  home = cleanup.use(await openTestApprovals(folder.path));
  diagnostics = new MemoryDiagnostics();
  catalog = new FunctionCatalog({ approvals: home.approvals, diagnostics, isPermission: (name) => name === "store.get" });
});
afterEach(() => cleanup.disposeAsync());

async function approve(
  id: string,
  functions: Readonly<Record<string, object | string>>,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const manifests = Object.entries(functions).flatMap(([name, manifest]) => [
    [`functions/${name}/manifest.json`, typeof manifest === "string" ? manifest : JSON.stringify({ function_id: name, ...manifest })],
    [`functions/${name}/main.py`, "def run(context, args):\n    return 1\n"],
  ]);
  await home.putPack(id, { ...(Object.fromEntries(manifests) as Record<string, string>), ...files });
  await home.approvals.approve(id, { actor: "test" });
  await catalog.reload();
}

const told = (): string[] => diagnostics.reports.map((report) => `${report.id}: ${report.message}`).sort();

test("F87 the entrypoint is the file and function said, else the first main file's run", async () => {
  await approve(
    "alpha",
    { one: {}, two: { entrypoint: "lib/code.ts:send", timeout_seconds: 7, caller_requires: ["store.get"] } },
    { "functions/one/main.ts": "", "functions/two/lib/code.ts": "" },
  );
  expect(catalog.find("alpha:one")).toMatchObject({
    file: "functions/one/main.py",
    function: "run",
    runtime: "python",
    timeout_ms: 30_000,
  });
  expect(catalog.find("alpha:two")).toMatchObject({
    file: "functions/two/lib/code.ts",
    function: "send",
    runtime: "node",
    timeout_ms: 7_000,
    caller_requires: ["store.get"],
  });
  expect(told()).toEqual([]);
});

test("a bad function is told and left out alone; paths that leave its folder lead nowhere", async () => {
  await approve("alpha", {
    good: {},
    broken: "{",
    twin: '{"function_id":"twin","function_id":"twin"}',
    poisoned: '{"function_id":"poisoned","__proto__":{}}',
    other: { function_id: "different" },
    leaves: { entrypoint: "../good/main.py:run" },
    absolute: { entrypoint: "/etc/passwd:run" },
    gone: { entrypoint: "gone.py:run" },
    late: { timeout_seconds: 121 },
    Bad: {},
    claims: { aliases: ["kernel.flow"] },
  });
  expect(catalog.list().map((one) => one.name)).toEqual(["alpha:good"]);
  expect(told()).toHaveLength(10);
  expect(told().filter((line) => line.startsWith("alpha:leaves"))).toEqual(["alpha:leaves: its entrypoint is not there"]);
});

test("an alias is the first's in load order, and never a permission's", async () => {
  await approve("alpha", { send: { aliases: ["mail.send", "store.get"] } });
  await approve("beta", { send: { aliases: ["mail.send", "beta.mail"] } });
  expect(catalog.find("mail.send")?.name).toBe("alpha:send");
  expect(catalog.find("beta.mail")?.name).toBe("beta:send");
  expect(catalog.find("store.get")).toBeUndefined();
  expect(told()).toContain("beta:send: the alias mail.send is taken by alpha:send");
});

test("a function that wishes for the host stays known, and is refused", async () => {
  await approve("alpha", { host: { host_execution: true }, native: { runtime: "binary" } });
  expect(catalog.find("alpha:host")).toMatchObject({ host_refused: true });
  expect(catalog.find("alpha:native")).toMatchObject({ host_refused: true });
});

test("only approved bytes count: what is edited, rejected or not approved is not found", async () => {
  await approve("alpha", { send: {} });
  await home.putPack("alpha", { "functions/more/manifest.json": '{"function_id":"more"}', "functions/more/main.py": "" });
  await catalog.reload();
  expect(catalog.find("alpha:more")).toBeUndefined();
  await home.approvals.reject("alpha", { actor: "test", reason: "no" });
  await catalog.reload();
  expect(catalog.list()).toEqual([]);
});

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readPack } from "@rumi/pack-manifest";
import { hashTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { keysWritten, pathsRead } from "./review-modifiers.ts";
import type { KnownFlow } from "./review-modifiers.ts";
import { PackReviewReader } from "./review-reader.ts";

/** The sections of a pack made of these files, below `backend/`. */
async function review(files: Record<string, string>, manifest: Record<string, unknown> = {}, flows: readonly KnownFlow[] = []) {
  await using folder = await temporaryFolder();
  const all = { "backend/ecosystem.json": JSON.stringify({ pack_id: "alpha", pack_identity: "local:alpha", ...manifest }), ...files };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true });
    await writeFile(join(folder.path, path), text);
  }
  const read = await readPack(folder.path, "alpha");
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return await new PackReviewReader({ flows: () => flows }).read(folder.path, await hashTree(folder.path), read.pack);
}

test("a pack with nothing but its manifest asks for nothing", async () => {
  expect(await review({})).toEqual({
    permissions: [],
    domains: [],
    routes: [],
    schedules: [],
    modifiers: [],
    dependencies: [],
    handlers: [],
    functions: [],
    stores: [],
    secrets: [],
    lib: [],
    warnings: [],
  });
});

test("wishes of the manifest and of permissions.json are told, each by its key", async () => {
  const sections = await review(
    {
      "backend/permissions.json": JSON.stringify({
        pack_id: "alpha",
        permissions: [
          { type: "network", domains: ["api.example.com"], ports: [443] },
          { type: "capability", permission_id: "store.set", config: { allowed_store_ids: ["x"] } },
          { type: "secret", keys: ["API_KEY"], hosts: ["api.example.com"] },
        ],
      }),
    },
    {
      required_network: { allowed_domains: ["api.example.com", "b.example"], allowed_ports: [80] },
      required_secrets: ["OTHER"],
      stores: [{ store_id: "cache" }],
      host_execution: true,
      connectivity: ["tool.registry"],
    },
  );
  expect(sections.permissions?.map((item) => item.key)).toEqual(["network", "capability:store.set", "secret"]);
  expect(sections.domains).toEqual([
    { key: "api.example.com", value: { ports: ["443", "80"], from: ["permissions.json", "required_network"] } },
    { key: "b.example", value: { ports: ["80"], from: ["required_network"] } },
  ]);
  expect(sections.secrets).toEqual([
    { key: "OTHER", value: { hosts: [] } },
    { key: "API_KEY", value: { hosts: ["api.example.com"] } },
  ]);
  expect(sections.stores).toMatchObject([{ key: "cache" }]);
  expect(sections.dependencies).toEqual([{ key: "requires:tool.registry", value: "*" }]);
  expect(sections.host_execution).toBe(true);
});

test("T28 a change of only a route, a cron line, a modifier or a lock is in its own section", async () => {
  const files = {
    "backend/routes.json": JSON.stringify({ routes: [{ method: "GET", path: "/api/weather/{city}", flow_id: "alpha.get" }] }),
    "backend/flows/get.flow.yaml": 'flow_id: alpha.get\nphases: [main]\nschedule: { cron: "0 0 * * *" }\nsteps: []\n',
    "backend/flows/modifiers/m.modifier.yaml":
      "modifier_id: m\ntarget_flow_id: alpha.get\naction: append\nstep: { id: x, type: set, input: { key: a, value: 1 } }\n",
    "backend/requirements.lock": "requests==2.0\n",
  };
  const sections = await review(files);
  expect(sections.routes).toMatchObject([{ key: "GET /api/weather/{city}", value: { flow_id: "alpha.get" } }]);
  expect(sections.schedules).toEqual([{ key: "alpha.get", value: { cron: "0 0 * * *" } }]);
  expect(sections.modifiers).toMatchObject([{ key: "m", value: { target: "alpha.get", action: "append", wide: false } }]);
  expect(sections.dependencies).toMatchObject([{ key: "requirements.lock", value: { path: "backend/requirements.lock" } }]);
  const moved = await review({ ...files, "backend/requirements.lock": "requests==2.1\n" });
  expect(moved.dependencies).not.toEqual(sections.dependencies);
  expect(moved.modifiers).toEqual(sections.modifiers);
});

test("T101 a modifier reading ctx.u and writing text, which its target writes, says so", async () => {
  const modifier = `modifier_id: m
target_flow_id: "chat*"
target_step_id: say
action: inject_after
step:
  id: more
  type: file_call
  file: blocks/x.py
  when: \${ctx.on} == true
  input: { a: "\${ctx.u.name}", b: "$\${ctx.escaped}", c: ['\${ctx["k-1"]}'] }
  output: text
`;
  const flows: KnownFlow[] = [
    {
      flow_id: "chat",
      writes: new Map([
        ["", ["u"]],
        ["say", ["text"]],
      ]),
    },
    { flow_id: "other", writes: new Map([["", ["text"]]]) },
  ];
  const [item] = (await review({ "backend/flows/modifiers/m.modifier.yaml": modifier }, {}, flows)).modifiers ?? [];
  expect(item?.value).toEqual({
    modifier_id: "m",
    target: "chat*/say",
    action: "inject_after",
    wide: true,
    reads: ['["k-1"]', "on", "u.name"],
    writes: ["text"],
    overwrites: ["text"],
  });
});

test("handlers, functions and lib files are told with what their bytes are", async () => {
  const sections = await review({
    "backend/share/capability_handlers/reader/handler.json": JSON.stringify({
      handler_id: "h",
      permission_id: "fs.read",
      entrypoint: "handler.py:execute",
    }),
    "backend/share/capability_handlers/reader/handler.py": "x = 1\n",
    "share/capability_handlers/outer/handler.json": JSON.stringify({ handler_id: "o" }),
    "backend/functions/send/manifest.json": JSON.stringify({ function_id: "send", requires: ["store.get"] }),
    "backend/lib/install.py": "def run(): pass\n",
  });
  expect(sections.handlers).toMatchObject([
    { key: "reader", value: { permission_id: "fs.read", files_sha256: expect.stringMatching(/^sha256:/u) } },
    { key: "outer" },
  ]);
  expect(sections.functions).toEqual([{ key: "send", value: { function_id: "send", requires: ["store.get"] } }]);
  expect(sections.lib).toMatchObject([{ key: "backend/lib/install.py" }]);
});

test("files that cannot be read are warnings, the rest of the review stands", async () => {
  const sections = await review({
    "backend/flows/a.flow.yaml": "x: [",
    "backend/functions/f/manifest.json": "{bad",
    "backend/lib/update.py": "",
  });
  expect(sections.warnings).toEqual([
    "backend/flows/a.flow.yaml is not a readable YAML map",
    "backend/functions/f/manifest.json is not a readable JSON object",
  ]);
  expect(sections.lib).toHaveLength(1);
});

test("keys written are found in nested steps, set, output and the context handlers", () => {
  const step = {
    id: "i",
    type: "if",
    // oxlint-disable-next-line unicorn/no-thenable -- the flow language calls it so
    then: [
      { type: "set", input: { key: "a", value: 1 } },
      { type: "handler", input: { handler: "kernel:ctx.copy", args: { from_key: "u", to_key: "b" } } },
    ],
    else: [{ type: "parallel", branches: { x: [{ type: "file_call", output: "c" }] } }],
  };
  expect(keysWritten(step)).toEqual(["a", "b", "c"]);
  expect(pathsRead({ type: "handler", input: { handler: "kernel:ctx.get", args: { key: "k" } } })).toEqual(["k"]);
});

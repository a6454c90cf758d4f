import { TrustStore } from "@rumi/capability";
import type { JsonObject } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PackHandlers } from "../src/pack-handlers.ts";
import { readHandlers } from "../src/read-handlers.ts";
import { ask, caller } from "../src/testing/ask.ts";
import { LIMITS, openSandboxHouse } from "./sandbox-harness.ts";
import type { SandboxHouse } from "./sandbox-harness.ts";

const FOLDER = "backend/share/capability_handlers";
const FILES = {
  "backend/ecosystem.json": JSON.stringify({ pack_id: "beta", pack_identity: "github:author/beta" }),
  [`${FOLDER}/reader/handler.json`]: JSON.stringify({ handler_id: "fs_read", permission_id: "fs.read", entrypoint: "handler.py:execute" }),
  [`${FOLDER}/reader/handler.py`]: `
import os, sibling
def execute(context, args):
    return {"args": args, "context": {k: context[k] for k in ("principal_id", "permission_id", "grant_config", "request_id")},
            "word": sibling.WORD, "sockets": sorted(os.listdir("/run/rumi")), "data": os.path.exists("/data")}
`,
  [`${FOLDER}/reader/sibling.py`]: "WORD = 'one'\n",
  [`${FOLDER}/on_host/handler.json`]: JSON.stringify({
    handler_id: "on_host",
    permission_id: "fs.host",
    entrypoint: "h.py:execute",
    mode: "host",
  }),
  [`${FOLDER}/on_host/h.py`]: "def execute(context, args):\n    return 1\n",
  [`${FOLDER}/bad/handler.json`]: JSON.stringify({ handler_id: "bad", permission_id: "store.x", entrypoint: "h.py:execute" }),
  [`${FOLDER}/leaves/handler.json`]: JSON.stringify({ handler_id: "leaves", permission_id: "fs.x", entrypoint: "../x.py:f" }),
};

let house: SandboxHouse;
let trust: TrustStore;
let handlers: PackHandlers;

beforeAll(async () => {
  house = await openSandboxHouse();
  await house.approve("beta", FILES);
  const { approvals, audit, diagnostics, signed, userData } = house.home;
  trust = new TrustStore({ signed, userData, audit, diagnostics, clock: systemClock });
  await trust.load();
  handlers = new PackHandlers(
    {
      approvals,
      trust,
      sandbox: house.sandbox,
      admit: async () => void (await house.sandbox.probe()),
      diagnostics,
      logger: silentLogger,
      random: systemRandom,
    },
    { limits: LIMITS },
  );
  await handlers.reload();
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
});

/** Trusts the handler's bytes as they are approved now. */
async function trustNow(): Promise<void> {
  const [pack] = house.home.approvals.approved();
  const [handler] = pack === undefined ? [] : (await readHandlers(pack, () => undefined)).filter((one) => one.slug === "reader");
  if (handler === undefined) throw new Error("no handler");
  await trust.add(
    "fs_read",
    { sha256: handler.sha256, pack_id: "beta", slug: "reader", permission_id: "fs.read", artifacts: [], note: "" },
    "test",
  );
}

function use(permission: string, args: JsonObject = {}) {
  const capability = handlers.find(permission);
  if (capability === undefined) throw new Error(`no ${permission}`);
  return { provider: capability.provider, run: () => ask(capability, args, { grant: { root: "/x" }, caller: caller("alpha") }) };
}

test("T32 handlers that are not in order are told and left out", () => {
  expect(handlers.find("store.x")).toBeUndefined();
  expect(handlers.find("fs.x")).toBeUndefined();
  const told = house.home.diagnostics.reports.filter((report) => report.kind === "capability_handler").map((report) => report.id);
  expect(told.sort()).toEqual(["beta:bad", "beta:leaves"]);
});

test("T39 T96 untrusted: denied; trusted: runs in an instance of its own without sockets, and nothing is left", async () => {
  expect(use("fs.read").provider?.decide()).toMatchObject({ allowed: false });
  await trustNow();
  expect(use("fs.read").provider?.decide()).toMatchObject({ allowed: true });
  const seen = await use("fs.read", { path: "a" }).run();
  expect(seen).toEqual({
    ok: true,
    output: {
      args: { path: "a" },
      context: { principal_id: "alpha", permission_id: "fs.read", grant_config: { root: "/x" }, request_id: null },
      word: "one",
      sockets: ["runner"],
      data: false,
    },
  });
  expect(await house.sandbox.list()).toEqual([]);
});

test("T42 mode host is not run here, trusted or not", () => {
  expect(use("fs.host").provider?.decide()).toMatchObject({ allowed: false, code: "capability.trust_denied" });
});

test("T40 a sibling module that changed takes the trust away, until these bytes are trusted too", async () => {
  await house.home.putPack("beta", { ...FILES, [`${FOLDER}/reader/sibling.py`]: "WORD = 'two'\n" });
  await house.home.approvals.scan();
  expect(use("fs.read").provider?.decide()).toMatchObject({ allowed: false });
  await house.home.approvals.approve("beta", { actor: "test" });
  await handlers.reload();
  expect(use("fs.read").provider?.decide()).toMatchObject({ allowed: false });
  await trustNow();
  expect(await use("fs.read").run()).toMatchObject({ ok: true, output: { word: "two" } });
});

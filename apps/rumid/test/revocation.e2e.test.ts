import { afterAll, beforeAll, expect, test } from "vitest";
import type { DaemonProcess } from "./daemon-process.ts";
import { TestHome, until } from "./daemon-process.ts";
import { approveWith, OUTSIDE_ADDRESS, outsideServer, startInWorld } from "./outside.ts";

const HOST = "api.rumi.example";
/** One use of a secret in a minute is far from enough here. */
const LIMITS = { RUMI_SECRET_GET_RATE_LIMIT: "100000" } as const;

/** Asks for everything in `calls` again and again, as one call of one instance, until each was refused; tells when and how. */
const USE_BLOCK = `import time
import rumi_capability
import rumi_syscall

def ask(call):
    if "url" in call:
        answer = rumi_syscall.get(call["url"], headers=call.get("headers"), timeout_seconds=5)
        return answer["success"], answer["error"]
    answer = rumi_capability.call(call["permission"], args=call["args"])
    return answer["success"], answer["error_type"]

def run(data, context=None):
    seen = {}
    for round in range(data.get("rounds") or 500):
        for name, call in data["calls"].items():
            if name in seen:
                continue
            allowed, why = ask(call)
            if not allowed:
                seen[name] = {"held": round > 0, "refused": why}
        if len(seen) == len(data["calls"]):
            break
        print("round")
        time.sleep(0.05)
    return seen
`;
const COUNT_BLOCK = `from concurrent.futures import ThreadPoolExecutor
import rumi_capability

def run(data, context=None):
    def once(n):
        return rumi_capability.call("store.set", args={"store_id": "log", "key": "n/" + str(n), "value": n})["error_type"]
    with ThreadPoolExecutor(16) as pool:
        return [kind or "set" for kind in pool.map(once, range(16))]
`;
const FUNCTION = `def run(context, args):\n    return 1\n`;

const blockFlow = (id: string, pack: string, file: string): string => `flow_id: ${id}
phases: [main]
steps:
  - { id: use, phase: main, type: file_call, owner_pack: ${pack}, file: blocks/${file}, input: { calls: "\${ctx.calls}", rounds: "\${ctx.rounds}" }, output: seen }
`;

interface Seen {
  readonly [name: string]: { readonly held: boolean; readonly refused: string };
}

const get = (store: string) => ({ permission: "store.get", args: { store_id: store, key: "k" } });
const run = (name: string) => ({ permission: "function.call", args: { function: name } });
const url = `https://${HOST}/`;

/** What the pack alpha uses, and what takes it away. */
const ALPHA = {
  "a secret that is deleted": { permission: "secrets.get", args: { key: "GONE" } },
  "a secret's key": { permission: "secrets.get", args: { key: "KEY" } },
  "a share": get("beta__shared"),
  "a store": get("log"),
  "a right that ends": { permission: "store.list", args: { store_id: "log" } },
  "a flow": { permission: "flow.run", args: { flow_id: "child" } },
  "a function": run("beta:f"),
  "a function whose pack loses what it requires": run("beta:g"),
  "a function whose pack is closed": run("beta:h"),
  "a brokered secret": { url, headers: { "X-Key": "{{secret:KEY}}" } },
  network: { url },
} as const;

let home: TestHome;
let daemon: DaemonProcess;
const servers = new AsyncDisposableStack();
const world = { names: { [HOST]: [OUTSIDE_ADDRESS] }, ports: { "443": 0 } };

const ok = async (answer: Promise<{ readonly status: number; readonly body: unknown }>): Promise<void> => {
  const { status, body } = await answer;
  if (status !== 200) throw new Error(JSON.stringify(body));
};
const grant = (principal: string, permission: string, config: object, more: object = {}): Promise<void> =>
  ok(daemon.post("/api/capability/grants/grant", { principal_id: principal, permission_id: permission, config, ...more }));
const revoke = (principal: string, permission: string): Promise<void> =>
  ok(daemon.post("/api/capability/grants/revoke", { principal_id: principal, permission_id: permission }));

async function start(flow: string, inputs: object): Promise<string> {
  return (await daemon.post<{ run_id: string }>(`/api/flows/${flow}/run`, { inputs, async: true })).body.data.run_id;
}

interface Run {
  readonly state: string;
  readonly result: { readonly seen: Seen };
  readonly failed_steps: readonly { readonly code: string }[];
}

const runOf = async (id: string): Promise<Run> => (await daemon.get<Run>(`/api/runs/${id}`)).body.data;

async function ended(id: string): Promise<Run> {
  await until(async () => (await runOf(id)).state !== "running", 30_000);
  return runOf(id);
}

/** Two rounds were made since now: whatever is used was used. */
async function used(...ids: string[]): Promise<void> {
  const rounds = async (id: string): Promise<number> =>
    (await daemon.get<{ lines: unknown[] }>(`/api/runs/${id}/logs`)).body.data.lines.length;
  for (const id of ids) {
    const before = await rounds(id);
    await until(async () => (await rounds(id)) >= before + 2);
  }
}

beforeAll(async () => {
  home = servers.use(await TestHome.create());
  const outside = servers.use(await outsideServer((_request, response) => void response.end("hello"), { tls: true }));
  world.ports["443"] = outside.port;
  const blocks = { "blocks/use.py": USE_BLOCK, "blocks/count.py": COUNT_BLOCK };
  const one = (id: string, more: object = {}) => ({
    [`functions/${id}/manifest.json`]: JSON.stringify({ function_id: id, ...more }),
    [`functions/${id}/main.py`]: FUNCTION,
  });
  await home.addPack("alpha", blocks);
  await home.addPack("alpha__child", blocks);
  await home.addPack("beta", {
    "ecosystem.json": JSON.stringify({ pack_id: "beta", pack_identity: "local:beta", stores: [{ store_id: "shared" }] }),
    ...one("f"),
    ...one("g", { requires: ["store.get"] }),
    ...one("h"),
  });
  await home.addPack("gamma", {
    "flows/modifiers/wide.modifier.yaml":
      'modifier_id: wide\ntarget_flow_id: "us*"\naction: append\nphase: main\nstep: { id: added, type: set, input: { key: added, value: 1 } }\n',
  });
  await home.addFlow("use", blockFlow("use", "alpha", "use.py"));
  await home.addFlow("nested", blockFlow("nested", "alpha__child", "use.py"));
  await home.addFlow("count", blockFlow("count", "alpha", "count.py"));
  await home.addFlow("child", "flow_id: child\nphases: [main]\nsteps: [{ id: s, phase: main, type: set, input: { key: k, value: 1 } }]\n");
  daemon = await startInWorld(home, world, LIMITS);
  for (const key of ["KEY", "GONE"]) await ok(daemon.post("/api/secrets/set", { key, value: `value-of-${key}-123456` }));
  await ok(daemon.post("/api/stores/create", { store_id: "log" }));
  const both = { allowed_store_ids: ["log", "beta__shared"] };
  const functions = ["beta:f", "beta:g", "beta:h"];
  await approveWith(daemon, "beta", { "store.get": both, "store.set": both });
  await approveWith(daemon, "alpha", {
    "secrets.get": { allowed_keys: ["KEY", "GONE"] },
    "store.get": both,
    "store.list": both,
    "store.set": { ...both, max_uses: 5 },
    "flow.run": { allowed_flow_ids: ["child"] },
    "function.call": { allowed_functions: functions },
    "network.egress": { allowed_domains: [HOST], allowed_ports: [443], requests_per_minute: 10_000 },
    "secrets.use": { allowed_bindings: [`KEY@${HOST}`], allowed_slots: ["header"] },
  });
  await approveWith(daemon, "alpha__child", { "store.get": both, "store.list": both });
  await ok(
    daemon.post("/api/stores/shared/approve", {
      provider_pack_id: "beta",
      consumer_pack_id: "alpha",
      store_id: "beta__shared",
      mode: "read",
    }),
  );
  const kept = home.at("kept");
  await home.write("kept/k.json", "1");
  for (const store of ["log", "beta__shared"]) await ok(daemon.post(`/api/stores/${store}/import`, { path: kept }));
}, 60_000);
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await servers.disposeAsync();
});

test("a right that is taken from a pack while its block uses it is refused from the next use on, and after a restart", async () => {
  const id = await start("use", { calls: ALPHA });
  const nested = await start("nested", {
    calls: { "a parent's right": get("log"), another: { permission: "store.list", args: { store_id: "log" } } },
  });
  await used(id, nested);
  await ok(daemon.post("/api/secrets/delete", { key: "GONE" }));
  await used(id);
  await revoke("alpha", "secrets.get");
  const share = { provider_pack_id: "beta", consumer_pack_id: "alpha", store_id: "beta__shared" };
  await ok(daemon.post("/api/stores/shared/revoke", share));
  await used(id, nested);
  await revoke("alpha", "store.get");
  await used(nested);
  const soon = new Date(Date.now() + 200).toISOString();
  await grant("alpha", "store.list", { allowed_store_ids: ["log"] }, { expires_at: soon });
  await revoke("alpha", "flow.run");
  await grant("alpha", "function.call", { allowed_functions: ["beta:g", "beta:h"] });
  await revoke("beta", "store.get");
  await used(id);
  await ok(daemon.post("/api/packs/beta/reject", { reason: "no more" }));
  await revoke("alpha", "secrets.use");
  await used(id);
  await ok(daemon.post("/api/network/revoke", { pack_id: "alpha" }));

  const refused = {
    "a secret that is deleted": "access_denied",
    "a secret's key": "access_denied",
    "a share": "permission_denied",
    "a store": "permission_denied",
    "a right that ends": "permission_denied",
    "a flow": "permission_denied",
    "a function": "permission_denied",
    "a function whose pack loses what it requires": "permission_denied",
    "a function whose pack is closed": "permission_denied",
    "a brokered secret": "Access denied or secret not found",
    network: "Network access denied: No network grant for this pack",
  };
  const told = (held: boolean) => Object.fromEntries(Object.entries(refused).map(([name, why]) => [name, { held, refused: why }]));
  expect((await ended(id)).result.seen).toEqual(told(true));
  expect((await ended(nested)).result.seen).toEqual({
    "a parent's right": { held: true, refused: "permission_denied" },
    another: { held: true, refused: "permission_denied" },
  });

  await daemon.stop();
  daemon = await startInWorld(home, world, LIMITS);
  const again = await ended(await start("use", { calls: ALPHA, rounds: 1 }));
  expect(again.result.seen).toEqual({
    ...told(false),
    "a brokered secret": { held: false, refused: "Network access denied: No network grant for this pack" },
  });
}, 60_000);

test("a modifier that rests on a privilege adds nothing more to a run that goes on when the privilege is taken", async () => {
  await ok(daemon.approve("gamma"));
  await ok(daemon.post("/api/privileges/gamma/grant/allow_wildcard_modifiers", {}));
  const store = { calls: { store: get("log") } };
  await grant("alpha", "store.get", { allowed_store_ids: ["log"] });
  const ends = async (take: () => Promise<void>) => {
    const id = await start("use", store);
    await used(id);
    await take();
    await revoke("alpha", "store.get");
    return ended(id);
  };
  expect((await ends(async () => {})).result).toMatchObject({ added: 1 });
  await grant("alpha", "store.get", { allowed_store_ids: ["log"] });
  const late = await ends(() => ok(daemon.post("/api/privileges/gamma/revoke/allow_wildcard_modifiers", {})));
  expect(late.failed_steps).toMatchObject([{ step_id: "added", code: "flow.pack_changed" }]);
  expect(late.result).not.toHaveProperty("added");
}, 60_000);

test("a right for five uses is five uses, whoever asks at once, before and after a restart", async () => {
  const count = async (): Promise<Record<string, number>> => {
    const { seen } = (await ended(await start("count", {}))).result as unknown as { seen: readonly string[] };
    return Object.fromEntries([...new Set(seen)].map((kind) => [kind, seen.filter((one) => one === kind).length]));
  };
  expect(await count()).toEqual({ set: 5, limit_reached: 11 });
  await daemon.stop("SIGKILL");
  daemon = await startInWorld(home, world, LIMITS);
  expect(await count()).toEqual({ limit_reached: 16 });
}, 60_000);

test("a pack that is closed while its block runs ends with it, its children too; a token that is taken opens nothing", async () => {
  const forever = { calls: { nothing: run("alpha:none") } };
  await grant("alpha", "store.get", { allowed_store_ids: ["log"] });
  const calls = { calls: { store: get("log") } };
  const [id, nested] = [await start("use", calls), await start("nested", calls)];
  await used(id, nested);
  await ok(daemon.post("/api/packs/alpha/reject", { reason: "no more" }));
  for (const one of [id, nested]) {
    const { failed_steps: failed } = await ended(one);
    expect(failed.map((step) => step.code)).toEqual(["sandbox.cancelled"]);
  }
  await until(async () => (await daemon.get<{ count: number }>("/api/containers")).body.data.count === 0);
  for (const [flow, closed] of [
    ["use", "approval.blocked"],
    ["nested", "approval.ancestor_not_approved"],
  ] as const) {
    const { body } = await daemon.run(flow, forever);
    expect(body.data.failed_steps.map((step) => step.code)).toEqual([closed]);
  }

  const made = (await daemon.post<{ id: string; token: string }>("/api/tokens", { scopes: ["read"], name: "reader" })).body.data;
  const ask = async (): Promise<number> =>
    (await fetch(`${daemon.url}/api/packs`, { headers: { authorization: `Bearer ${made.token}` } })).status;
  expect(await ask()).toBe(200);
  await ok(daemon.request("DELETE", `/api/tokens/${made.id}`));
  expect(await ask()).toBe(401);
}, 60_000);

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sleep, TestHome, until } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, startInWorld } from "./outside.ts";

const PACK = "hostile_sockets";
const NEIGHBOUR = "neighbour";

/** Calls the store again and again in one run, and says what came back. */
const NEIGHBOUR_BLOCK = `import rumi_capability

def run(data, context):
    asked = [("neighbour__kept", "k")] * (data.get("times") or 1)
    return [rumi_capability.call("store.get", {"store_id": store, "key": key})["output"] for store, key in asked]
`;
const NEIGHBOUR_FLOW = `flow_id: neighbour
phases: [main]
steps:
  - { id: ask, phase: main, type: python_file_call, file: blocks/ask.py, timeout_seconds: 60, input: { times: "\${ctx.times}" }, output: answer }
`;

let home: TestHome;
let daemon: DaemonProcess;
const scope = new AsyncDisposableStack();

interface Attack {
  readonly how: string;
  readonly asks?: unknown;
  readonly paths?: readonly string[];
}

async function attack<T>(given: Attack): Promise<T> {
  return answerOf<T>(await daemon.run(PACK, { asks: [], paths: [], ...given }, 110));
}

/** Runs the attack while the neighbour's calls, one after the other, must all answer; how many did. */
async function besideNeighbour<T>(given: Attack): Promise<T> {
  let done = false;
  const attacking = attack<T>(given).finally(() => {
    done = true;
  });
  attacking.catch(() => undefined);
  let answered = 0;
  while (!done || answered < 2) {
    const got = answerOf<unknown[]>(await daemon.run(NEIGHBOUR, { times: 2 }));
    expect(got).toEqual(Array.from({ length: 2 }, () => ({ success: true, value: { n: 1 } })));
    expect((await daemon.get("/health")).status).toBe(200);
    answered++;
    // Within its own limit of 600 calls a minute.
    await sleep(250);
  }
  return attacking;
}

async function auditOf(action: string): Promise<{ owner_pack: string; details: Record<string, unknown> }[]> {
  const { body } = await daemon.get<{ entries: { owner_pack: string; details: Record<string, unknown> }[] }>(
    `/api/audit?category=security&action=${action}&limit=200`,
  );
  return body.data.entries;
}

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  await home.addPack(PACK);
  await home.addPack(NEIGHBOUR, {
    "ecosystem.json": JSON.stringify({ pack_id: NEIGHBOUR, pack_identity: "local:neighbour", stores: [{ store_id: "kept" }] }),
    "blocks/ask.py": NEIGHBOUR_BLOCK,
    "blocks/keep.py": `import rumi_capability\ndef run(data, context):\n    return rumi_capability.call("store.set", {"store_id": "neighbour__kept", "key": "k", "value": {"n": 1}})["output"]\n`,
    "flows/neighbour.flow.yaml": NEIGHBOUR_FLOW,
    "flows/keep.flow.yaml": NEIGHBOUR_FLOW.replace("flow_id: neighbour", "flow_id: neighbour.keep").replace(
      "blocks/ask.py",
      "blocks/keep.py",
    ),
  });
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }));
  expect((await daemon.post("/api/secrets/set", { key: "THEIRS", value: "a value of the neighbour" })).status).toBe(200);
  await approveWith(daemon, PACK);
  const store = { allowed_store_ids: ["neighbour__kept"] };
  await approveWith(daemon, NEIGHBOUR, { "store.get": store, "store.set": store, "secrets.get": { allowed_keys: ["THEIRS"] } });
  expect(answerOf(await daemon.run("neighbour.keep"))).toEqual({ success: true });
});

afterAll(() => scope.disposeAsync());

const CLAIMS = { principal_id: NEIGHBOUR, principal: NEIGHBOUR, pack_id: NEIGHBOUR, owner_pack: NEIGHBOUR };
const READ = { permission_id: "store.get", args: { store_id: "neighbour__kept", key: "k" }, timeout_seconds: 5 };

test.for([
  ["beside the permission", "capability", { ...READ, ...CLAIMS }],
  ["in the arguments", "capability", { ...READ, args: { ...READ.args, ...CLAIMS } }],
  ["in a context of its own", "capability", { ...READ, context: CLAIMS, owner: CLAIMS, caller: CLAIMS }],
  ["as a call of somebody else", "capability", { ...READ, call_id: "0".repeat(32), ...CLAIMS }],
  ["for a secret", "capability", { permission_id: "secrets.get", args: { key: "THEIRS" }, timeout_seconds: 5, ...CLAIMS }],
  ["as another type", "capability", { ...READ, type: "admin", ...CLAIMS }],
  ["for a function", "capability", { type: "function.call", qualified_name: "neighbour:f", args: {}, ...CLAIMS }],
  ["in a request", "egress", { method: "GET", url: "https://api.rumi.example/", ...CLAIMS }],
  ["in a check", "egress", { type: "check", domain: "api.rumi.example", port: 443, ...CLAIMS }],
  ["in a tunnel", "egress", { type: "tunnel", host: "api.rumi.example", port: 443, ...CLAIMS }],
] as const)("T48 X53 a principal named %s changes nothing", async ([, socket, message]) => {
  const [answer] = await attack<Record<string, unknown>[]>({ how: "ask", asks: [[socket, message]] });
  expect(answer).toMatchObject("domain" in message ? { allowed: false, pack_id: PACK } : { success: false });
  expect(JSON.stringify(answer)).not.toContain("a value of the neighbour");
});

test("T48 X53 every such claim is audited as the pack's own, beside what it did not get", async () => {
  const claims = await auditOf("principal_id_overridden");
  expect(claims.length).toBeGreaterThanOrEqual(7);
  expect(new Set(claims.map(({ owner_pack: pack }) => pack))).toEqual(new Set([PACK]));
  const { body } = await daemon.get<{ entries: unknown[] }>(`/api/audit?category=permission&pack=${NEIGHBOUR}&success=false&limit=100`);
  expect(body.data.entries).toEqual([]);
});

test("X53 sockets of another instance are on no path that the container knows", async () => {
  const installation = (await home.read("user_data/settings/installation")).trim().slice(0, 8);
  answerOf(await daemon.run(NEIGHBOUR));
  const sockets: string[] = [];
  for (const base of ["/run/rumi", "/tmp", process.env["XDG_RUNTIME_DIR"] ?? "/nowhere"]) {
    for (const name of await readdir(base, { recursive: true }).catch(() => [])) {
      if (name.includes(installation) && name.endsWith(".sock")) sockets.push(join(base, name));
    }
  }
  expect(sockets.length).toBeGreaterThanOrEqual(4);
  const inside = sockets.map((path) => `/run/rumi/capability/../../${path.split("/").slice(-2).join("/")}`);
  const paths = [...sockets, ...inside, "/var/run/docker.sock", "/run/docker.sock", "/run/rumi/runner/runner.sock", "\0rumi"];
  const found = await attack<{ named: Record<string, string>; walked: string[]; run: Record<string, unknown> }>({ how: "others", paths });
  expect(Object.values(found.named).filter((end) => end === "connected")).toEqual([]);
  const own = ["/run/rumi/capability/capability.sock", "/run/rumi/egress/egress.sock"];
  expect(found.walked.filter((path) => !own.includes(path))).toEqual([]);
  expect(found.run["rename"]).not.toBe("renamed");
  // Other users of this machine do not even come to the folders.
  for (const path of sockets) {
    const folders = path.split("/").slice(0, -2);
    const modes = await Promise.all(folders.map(async (_, at) => (await stat(folders.slice(0, at + 1).join("/") || "/")).mode & 0o007));
    expect(modes, path).toContain(0);
  }
});

const frame = (body: string | Uint8Array): string => {
  const bytes = Buffer.from(body as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]).toString("hex");
};

const FRAMES = [
  ["an array", frame("[]")],
  ["a number", frame("1")],
  ["null", frame("null")],
  ["no JSON", frame("{]")],
  ["no UTF-8", frame(Uint8Array.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]))],
  ["nothing", frame("")],
  ["a NUL behind", frame('{"permission_id":"store.get","args":{}}\0')],
  ["two objects", frame("{}{}")],
  ["deep nesting", frame(`{"args":${"[".repeat(100_000)}${"]".repeat(100_000)}}`)],
  ["__proto__", frame('{"permission_id":"store.get","args":{"__proto__":{"store_id":"neighbour__kept"},"key":"k"}}')],
  ["__proto__ outside", frame('{"__proto__":{"permission_id":"store.get"},"args":{"store_id":"neighbour__kept","key":"k"}}')],
  ["constructor", frame('{"permission_id":"store.get","args":{"constructor":{"prototype":{"allowed":true}},"key":"k"}}')],
  ["a length of 4 GiB", "ffffffff7b7d"],
  ["a length just over the limit", "00400001"],
  ["cut in the length", "0000"],
  ["cut in the body", "000000107b7d"],
  ["cut before anything", ""],
] as const;

test("T49 X55 frames that are too large, cut off or no messages are refused one by one", async () => {
  const found = await besideNeighbour<Record<string, string>>({ how: "raw", asks: FRAMES });
  expect(Object.keys(found)).toHaveLength(2 * FRAMES.length);
  for (const [name, end] of Object.entries(found)) {
    expect(["protocol_error", "invalid_request", "validation_error", "ConnectionError", "ConnectionResetError"], name).toContain(end);
  }
});

test.for([
  ["oversized frames, sent whole", { how: "oversized" }],
  ["slow senders", { how: "slow" }],
  ["readers that do not read", { how: "deaf", asks: [READ, { type: "check", domain: "a.rumi.example", port: 1 }] }],
  ["a thousand connections to each socket, held", { how: "crowd", asks: 4 }],
] as const)("T49 X55 %s: another pack's calls all answer meanwhile", async ([, given]) => {
  const found = await besideNeighbour<Record<string, unknown>>(given);
  expect(Object.keys(found).length).toBeGreaterThan(0);
});

test("X55 afterwards the hostile pack's own sockets serve it as before, and the daemon's memory is bounded", async () => {
  await until(async () => {
    const [answer] = await attack<Record<string, unknown>[]>({
      how: "ask",
      asks: [["egress", { type: "check", domain: "a.rumi.example", port: 443 }]],
    });
    return answer?.["reason"] === "No network grant for this pack";
  });
  const resident = Number(/VmRSS:\s+([0-9]+) kB/u.exec(await readFile(`/proc/${daemon.pid}/status`, "utf8"))?.[1]);
  expect(resident).toBeLessThan(1024 * 1024);
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
});

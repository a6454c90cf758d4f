import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestHome } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, OUTSIDE_ADDRESS, outsideServer, startInWorld } from "./outside.ts";
import type { World } from "./outside.ts";
import { REFLECTIONS, reflectingHost } from "./reflecting-host.ts";
import { pieceSeen, unveil } from "./seen-pieces.ts";

const PACK = "hostile_secrets";
const HOST = "reflect.rumi.example";
/** With every character that somebody escapes. */
const VALUE = 'sk-proj-Zq4/9w+K"m Xp&2_vL8\u65e5sT0%dR';
/** The host's other address: a network grant for it, and no binding. */
const B_ADDRESS = "8.8.8.8";

const SLOTS = {
  header: { headers: { "X-Key": "{{secret:KEY}}" } },
  "basic credentials": { headers: { Authorization: "Basic {{secret:KEY|basic:user}}" } },
  query: { query: "?k={{secret:KEY}}" },
  "body of JSON": { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"k":"{{secret:KEY}}"}' },
  "body of a form": { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "k={{secret:KEY}}" },
  "body of text": { method: "POST", headers: { "Content-Type": "text/plain" }, body: "{{secret:KEY}}" },
} as const;

interface Ask {
  readonly name: string;
  readonly url?: string;
  readonly [key: string]: unknown;
}

const at = (path: string, query = ""): string => `https://${HOST}/${encodeURIComponent(path)}${query}`;
const BROKERED: readonly Ask[] = Object.entries(SLOTS).flatMap(([slot, { ...asked }]) =>
  REFLECTIONS.map((reflection) => ({
    name: `${slot}, given back as ${reflection}`,
    url: at(reflection, "query" in asked ? asked.query : ""),
    ...asked,
  })),
);
const STREAMED: readonly Ask[] = REFLECTIONS.map((reflection) => ({
  name: `header, streamed back as ${reflection}`,
  url: at(reflection),
  stream: true,
  ...SLOTS.header,
}));
const STORED: readonly Ask[] = [
  ...REFLECTIONS.map((reflection) => ({
    name: `stored, asked for without a secret as ${reflection}`,
    url: `https://${HOST}/stored/${encodeURIComponent(reflection)}`,
  })),
  { name: "stored, asked for in plain http", url: `http://${HOST}/stored/raw` },
  ...[0, 7, 14].map((from) => ({
    name: `stored, from byte ${from} on`,
    url: `https://${HOST}/stored/${encodeURIComponent("a part")}`,
    headers: { Range: `bytes=${from}-${from + 6}` },
  })),
];
const AROUND: readonly Ask[] = [
  { name: "urllib over https", way: "urllib", url: `https://${HOST}/stored/raw` },
  { name: "urllib over http", way: "urllib", url: `http://${HOST}/stored/raw` },
  { name: "urllib over http, hex", way: "urllib", url: `http://${HOST}/stored/hex` },
  { name: "urllib over http, with a placeholder", way: "urllib", url: `http://${HOST}/raw`, headers: { "X-Key": "{{secret:KEY}}" } },
  { name: "CONNECT and TLS", way: "connect", host: HOST, port: 443, target: "/stored/raw" },
  { name: "CONNECT by the address, TLS for the name", way: "connect", host: HOST, to: OUTSIDE_ADDRESS, port: 443, target: "/stored/raw" },
  {
    name: "CONNECT by the address, TLS without a name",
    way: "connect",
    host: HOST,
    to: OUTSIDE_ADDRESS,
    sni: null,
    port: 443,
    target: "/stored/raw",
  },
  {
    name: "CONNECT in capitals and with a dot",
    way: "connect",
    host: HOST,
    to: `${HOST.toUpperCase()}.`,
    port: 443,
    target: "/stored/raw",
  },
  { name: "CONNECT and plain HTTP", way: "connect", host: HOST, port: 80, tls: false, target: "/stored/raw" },
  { name: "a tunnel's frame", way: "tunnel", host: HOST, port: 443, target: "/stored/raw" },
  { name: "a tunnel's frame to the address", way: "tunnel", host: HOST, to: OUTSIDE_ADDRESS, sni: null, port: 443, target: "/stored/raw" },
  { name: "a proxied request", way: "proxied", host: HOST, url: `http://${HOST}/stored/raw` },
  { name: "a proxied request for https", way: "proxied", host: `${HOST}:443`, url: `https://${HOST}/stored/raw` },
  { name: "a proxied request, redirected elsewhere", way: "proxied", host: HOST, url: `http://${HOST}/stored/a%20redirect%20elsewhere` },
];
const BY_ADDRESS: readonly Ask[] = [
  { name: "a request to the address", url: `https://${OUTSIDE_ADDRESS}/stored/raw` },
  { name: "a request to the address in hexadecimal", url: "https://0x5db8d822/stored/raw" },
  { name: "a request to the address, mapped", url: `https://[::ffff:${OUTSIDE_ADDRESS}]/stored/raw` },
];
const NODE: readonly Ask[] = [
  { name: "Node's fetch", way: "fetched", url: `https://${HOST}/stored/raw` },
  { name: "Node's fetch over http", way: "fetched", url: `http://${HOST}/stored/raw` },
  { name: "the SDK", way: "asked", url: at("base64 at 1"), ...SLOTS.header },
  { name: "the SDK's stream", way: "streamed", url: at("one byte a chunk"), ...SLOTS.header },
];

let home: TestHome;
let daemon: DaemonProcess;
let host: ReturnType<typeof reflectingHost>;
let elsewhere: string[];
let world: World;
const found = new Map<string, Buffer>();
const servers = new AsyncDisposableStack();

/** Asks of one run: fewer than would let a binding rest whose host gives back pieces. */
const BATCH = 4;

/** Gives the right to use the secret anew, which also ends the rest of a binding. */
async function grantUse(): Promise<void> {
  const config = { allowed_bindings: [`KEY@${HOST}`], allowed_slots: ["header", "query", "body"] };
  expect((await daemon.post("/api/capability/grants/grant", { principal_id: PACK, permission_id: "secrets.use", config })).status).toBe(
    200,
  );
}

/** Runs a flow of the hostile pack and keeps what it saw. */
async function attempt(flow: string, asks: readonly Ask[]): Promise<void> {
  for (let from = 0; from < asks.length; from += BATCH) {
    await grantUse();
    const seen = answerOf<Record<string, string>>(await daemon.run(flow, { asks: asks.slice(from, from + BATCH) }, 110));
    for (const [name, veiled] of Object.entries(seen)) found.set(name, unveil(veiled));
  }
}

beforeAll(async () => {
  home = servers.use(await TestHome.create());
  host = reflectingHost(VALUE);
  elsewhere = [];
  const tls = servers.use(await outsideServer(host.answer, { tls: true }));
  const plain = servers.use(await outsideServer(host.answer));
  const other = servers.use(
    await outsideServer((request, response) => void response.end(`elsewhere ${String(elsewhere.push(request.url ?? ""))} ${request.url}`), {
      tls: true,
    }),
  );
  await home.addPack(PACK);
  world = {
    names: { [HOST]: [OUTSIDE_ADDRESS], "b.rumi.example": [B_ADDRESS] },
    ports: { [`${OUTSIDE_ADDRESS}:443`]: tls.port, [`${OUTSIDE_ADDRESS}:80`]: plain.port, [`${B_ADDRESS}:443`]: other.port },
  };
  daemon = servers.use(await startInWorld(home, world));
  expect((await daemon.post("/api/secrets/set", { key: "KEY", value: VALUE })).status).toBe(200);
  await approveWith(daemon, PACK, {
    "network.egress": { allowed_domains: ["*"], allowed_ports: [80, 443], requests_per_minute: 100_000 },
  });
  await attempt(PACK, [...BROKERED, ...STREAMED, ...STORED, ...BY_ADDRESS]);
  await attempt(`${PACK}.around`, AROUND);
  await attempt(`${PACK}.node`, NODE);
});

afterAll(() => servers.disposeAsync());

test("T63 the host got the value in every slot and for every way back", () => {
  expect(REFLECTIONS.filter((one) => !host.got.has(`/${encodeURIComponent(one)}`))).toEqual([]);
});

describe.each([
  ["T64 X70", BROKERED],
  ["T64 X70", STREAMED],
  ["X70", STORED],
  ["X70", BY_ADDRESS],
  ["X70", AROUND],
  ["X70", NODE],
] as const)("%s no eight bytes of the secret in a row past its issuer's prefix", (_case, asks) => {
  test.each(asks.map(({ name }) => name))("%s", (name) => {
    const seen = found.get(name);
    expect(seen?.length).toBeGreaterThan(0);
    expect(pieceSeen(seen ?? Buffer.alloc(0), VALUE)).toBeNull();
  });
});

test("T67 giving the whole value back is no guess: no binding rests because of it", async () => {
  await grantUse();
  for (let times = 0; times < 6; times++)
    await attempt(PACK, BROKERED.filter(({ name }) => name.startsWith("header,")).slice(times, times + 4));
  const journal = await home.read("user_data/secrets/journal.jsonl");
  expect(journal.split("\n").filter((line) => line.includes('"partial_hit"')).length).toBeLessThanOrEqual(5);
});

test("T66 nothing of the secret went elsewhere", () => {
  expect(elsewhere.filter((url) => pieceSeen(Buffer.from(url), VALUE) !== null)).toEqual([]);
});

test("T65 other hosts, plain http, a path and a slot that is not granted get nothing", async () => {
  const asked = host.asked.length;
  await attempt(PACK, [
    { name: "other host", url: "https://b.rumi.example/", ...SLOTS.header },
    { name: "plain http", url: `http://${HOST}/raw`, ...SLOTS.header },
    { name: "by address", url: `https://${OUTSIDE_ADDRESS}/raw`, ...SLOTS.header },
    { name: "range", url: at("raw"), headers: { "X-Key": "{{secret:KEY}}", Range: "bytes=0-3" } },
    { name: "other key", url: at("raw"), headers: { "X-Key": "{{secret:OTHER}}" } },
    { name: "path", url: `https://${HOST}/raw/{{secret:KEY}}` },
  ]);
  for (const name of ["other host", "plain http", "by address", "range", "other key"])
    expect(found.get(name)?.toString()).toContain("secret_denied");
  expect(host.asked.slice(asked).filter((one) => !one.startsWith("GET /raw/%7B%7Bsecret:KEY%7D%7D"))).toEqual([]);
});

test("T63 T68 the value is in no audit entry, no log and no answer of the daemon", async () => {
  const runs = await daemon.get("/api/runs?limit=50");
  const audit = await daemon.get("/api/audit?limit=1000");
  for (const text of [daemon.stdout, daemon.stderr, JSON.stringify(runs.body), JSON.stringify(audit.body)]) {
    expect(text).not.toContain(VALUE.slice(8));
    expect(pieceSeen(Buffer.from(text), VALUE, 0)).toBeNull();
  }
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
});

test("X70 what a host kept is still searched for after the right was taken and the daemon started anew", async () => {
  const revoked = await daemon.post("/api/capability/grants/revoke", { principal_id: PACK, permission_id: "secrets.use" });
  expect(revoked.status).toBe(200);
  await daemon.stop("SIGKILL");
  daemon = servers.use(await startInWorld(home, world));
  const asks = [...STORED.slice(0, 4), ...BY_ADDRESS.slice(0, 1)];
  const seen = answerOf<Record<string, string>>(await daemon.run(PACK, { asks }, 60));
  for (const [name, veiled] of Object.entries(seen)) {
    expect(unveil(veiled).toString(), name).toContain("[REDACTED]");
    expect(pieceSeen(unveil(veiled), VALUE), name).toBeNull();
  }
  const around = answerOf<Record<string, string>>(await daemon.run(`${PACK}.around`, { asks: AROUND.slice(4, 6) }, 60));
  for (const { name } of AROUND.slice(4, 6)) expect(unveil(around[name] ?? "").toString(), name).not.toContain("sk-proj");
});

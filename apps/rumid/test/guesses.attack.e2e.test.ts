import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sleep, TestHome } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, OUTSIDE_ADDRESS, outsideServer, startInWorld } from "./outside.ts";
import type { World } from "./outside.ts";
import { unveil } from "./seen-pieces.ts";

const PACK = "hostile_secrets";
const HOST = "reflect.rumi.example";
const VALUE = "ghp_Zq83hdkWmXv02bTnRy6LcE9s";
const CORE = VALUE.slice(4);

let home: TestHome;
let daemon: DaemonProcess;
let world: World;
const scope = new AsyncDisposableStack();

/** Gives guesses back: whole; and with nothing behind them for a while; and cut in chunks. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", `https://${HOST}`);
  const guess = url.searchParams.get("g") ?? "";
  response.on("error", () => undefined);
  const drip = async (pieces: readonly string[], ms: number): Promise<void> => {
    for (const piece of pieces) {
      response.write(piece);
      await sleep(ms);
    }
    response.end();
  };
  if (url.pathname === "/stall") return void drip([`${guess}${" ".repeat(40)}`, `~${" ".repeat(40)}`], 1500);
  if (url.pathname === "/split") return void drip(["so far: 0123456789012345678901234567890123456789 ", guess, "!", "\n"], 20);
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => response.end(Buffer.concat(chunks)));
}

/** Gives the right anew: an earlier test's binding does not rest any more. */
async function grantUse(): Promise<void> {
  const config = { allowed_bindings: [`KEY@${HOST}`] };
  expect((await daemon.post("/api/capability/grants/grant", { principal_id: PACK, permission_id: "secrets.use", config })).status).toBe(
    200,
  );
}

async function told(ask: { readonly way: string; readonly path: string; readonly guesses: readonly string[] }): Promise<unknown> {
  const asks = [{ ...ask, url: `https://${HOST}${ask.path}` }];
  return answerOf<unknown[]>(await daemon.run(`${PACK}.guess`, { asks }, 100))[0];
}

/** Whether the secret may not be used now. */
async function isSuspended(): Promise<boolean> {
  const asks = [{ name: "now", url: `https://${HOST}/`, headers: { "X-Key": "{{secret:KEY}}" } }];
  const { now } = answerOf<{ now: string }>(await daemon.run(PACK, { asks }));
  return unveil(now).includes("secret_denied");
}

const right = (from: number, length = 8): string => CORE.slice(from, from + length);
const wrong = (from: number): string => `${CORE.slice(from, from + 7)}-`;

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  const server = scope.use(await outsideServer(echo, { tls: true }));
  await home.addPack(PACK);
  world = { names: { [HOST]: [OUTSIDE_ADDRESS] }, ports: { [`${OUTSIDE_ADDRESS}:443`]: server.port } };
  daemon = scope.use(await startInWorld(home, world));
  expect((await daemon.post("/api/secrets/set", { key: "KEY", value: VALUE })).status).toBe(200);
  await approveWith(daemon, PACK, {
    "network.egress": { allowed_domains: [HOST], allowed_ports: [443], requests_per_minute: 100_000 },
    "secrets.use": { allowed_bindings: [`KEY@${HOST}`] },
  });
});

afterAll(() => scope.disposeAsync());

test("T67 five guesses that came back masked suspend the binding, and nothing that its host says is told any more", async () => {
  const guesses = Array.from({ length: 8 }, (_, from) => [right(from), wrong(from)]).flat();
  // Right, wrong, ... the fifth right one, and then everything looks alike.
  expect(await told({ way: "masked", path: "/", guesses })).toEqual(guesses.map((_, at) => at % 2 === 0 || at > 8));
  expect(await isSuspended()).toBe(true);
  const entries = await daemon.get<{ entries: { action: string; severity: string }[] }>("/api/audit?category=security&limit=100");
  expect(entries.body.data.entries).toContainEqual(
    expect.objectContaining({
      action: "secrets.binding_suspended",
      severity: "critical",
      details: expect.objectContaining({ key_name: "KEY" }),
    }),
  );
  expect(JSON.stringify(entries.body)).not.toContain(CORE.slice(0, 8));
});

test("T67 one answer full of guesses tells no more of them than five", async () => {
  await grantUse();
  const answer = await told({
    way: "masked",
    path: "/",
    guesses: [Array.from({ length: 20 }, (_, from) => `<${right(from % 16)}>`).join(" ")],
  });
  expect(answer).toEqual([true]);
  expect(await isSuspended()).toBe(true);
});

test("T67 guesses of streams that are left as soon as they are masked count as well", async () => {
  await grantUse();
  const guesses = [right(0), wrong(0), right(1), right(2), right(3), right(4), wrong(5)];
  const seen = await told({ way: "cut", path: "/stall?g=", guesses });
  expect(seen).toEqual([true, false, true, true, true, true, true]);
  expect(await isSuspended()).toBe(true);
});

test("T67 how a stream is cut into pieces tells nothing of bytes too few to be masked", async () => {
  await grantUse();
  for (let length = 1; length < 8; length++) {
    const [good, bad] = (await told({ way: "held", path: "/split?g=", guesses: [right(2, length), "-".repeat(length)] })) as number[][];
    expect(good, `${length} bytes`).toEqual(bad);
  }
  expect(await isSuspended()).toBe(false);
});

test("T67 a suspension is there after kill -9, and ends with the operator's next yes", async () => {
  await grantUse();
  await told({ way: "masked", path: "/", guesses: Array.from({ length: 6 }, (_, from) => right(from)) });
  expect(await isSuspended()).toBe(true);
  await daemon.stop("SIGKILL");
  daemon = scope.use(await startInWorld(home, world));
  expect(await isSuspended()).toBe(true);
  await grantUse();
  expect(await isSuspended()).toBe(false);
});

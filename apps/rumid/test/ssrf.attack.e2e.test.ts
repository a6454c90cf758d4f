import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DaemonProcess, TestHome } from "./daemon-process.ts";
import { answerOf, approveWith, NO_LIMITS, OUTSIDE_ADDRESS, outsideServer, startInWorld } from "./outside.ts";

const PACK = "hostile_ssrf";

interface Vector {
  readonly id: string;
  readonly group: string;
  readonly what: string;
  readonly expect: string;
  readonly url?: string;
  readonly headers?: Record<string, string>;
  readonly answers?: Record<string, string[]>;
  readonly then?: Record<string, string[]>;
  readonly redirect?: readonly string[];
}

/** A vector as it is asked here. `later`: what lookups of its names after the first say. */
interface Asked extends Omit<Vector, "then"> {
  readonly later: Record<string, string[]>;
}

const { denied } = JSON.parse(readFileSync(new URL("../../../packages/egress/src/testing/ssrf-vectors.json", import.meta.url), "utf8")) as {
  denied: readonly Vector[];
};

/** Ports of the inside that a refused request could mean. */
const INSIDE_PORTS = [22, 25, 80, 81, 443, 2375, 2376, 5432, 6379, 8000, 8080, 9200, 11211, 11434];

/** Some of every group, but for listeners of the daemon, which are another one's here; all of those with names, whose lookups a daemon's life remembers, have names of their own. */
const VECTORS: readonly Asked[] = [
  ...Map.groupBy(
    denied.filter(({ url }) => url !== undefined && !url.includes(":8765")),
    ({ group }) => group,
  ).values(),
]
  .flatMap((group) => group.filter((_, at) => at % Math.ceil(group.length / 5) === 0))
  .map((vector, at) => renamed(vector, at));

/** The vector's names made its own, so that a name is not looked up for two vectors. */
function renamed(vector: Vector, at: number): Asked {
  const own = (name: string): string => (name.endsWith(".rumi.example") ? `v${at}-${name}` : name);
  const entries = (map: Record<string, string[]> = {}) =>
    Object.fromEntries(Object.entries(map).map(([name, found]) => [own(name), found]));
  const named = [...Object.keys(vector.answers ?? {}), "api.rumi.example"].filter((name) => name.endsWith(".rumi.example"));
  const inText = (text: string): string =>
    named.reduce((all, name) => all.replaceAll(new RegExp(`(?<![A-Za-z0-9.-])${name}`, "gu"), own(name)), text);
  const { then, ...rest } = vector;
  return {
    ...rest,
    url: inText(vector.url ?? ""),
    answers: { [own("api.rumi.example")]: [OUTSIDE_ADDRESS], ...entries(vector.answers) },
    later: entries(then),
    ...(vector.redirect === undefined ? {} : { redirect: vector.redirect.map(inText) }),
  };
}

let home: TestHome;
let daemon: DaemonProcess;
/** What servers of the inside were asked: always nothing. */
const inside: string[] = [];
const redirects = new Map<string, readonly string[]>();
const hops = new Map<string, number>();
const found = new Map<string, readonly string[]>();
const scope = new AsyncDisposableStack();

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  await home.addPack(PACK);
  const secret = scope.use(
    await outsideServer((request, response) => void response.end(`inside ${inside.push(`${request.headers.host} ${request.url}`)}`)),
  );
  const outside = scope.use(
    await outsideServer((request, response) => {
      const host = String(request.headers.host).split(":")[0] ?? "";
      const hop = hops.get(host) ?? 0;
      hops.set(host, hop + 1);
      const location = redirects.get(host)?.[hop];
      if (location === undefined) response.end("outside");
      else response.writeHead(302, { location }).end();
    }),
  );
  for (const { answers = {}, redirect = [] } of VECTORS) for (const name of Object.keys(answers)) redirects.set(name, redirect);
  daemon = scope.use(
    await startInWorld(home, {
      names: Object.assign({}, ...VECTORS.map(({ answers }) => answers)) as Record<string, string[]>,
      later: Object.assign({}, ...VECTORS.map(({ later }) => later)) as Record<string, string[]>,
      // Whatever is dialled but the outside leads to what must not be reached.
      ports: {
        [`${OUTSIDE_ADDRESS}:80`]: outside.port,
        [`${OUTSIDE_ADDRESS}:81`]: outside.port,
        ...Object.fromEntries(INSIDE_PORTS.map((port) => [String(port), secret.port])),
      },
    }),
  );
  await approveWith(daemon, PACK, { "network.egress": { allowed_domains: ["*"], allowed_ports: ["*"], requests_per_minute: 100_000 } });
  for (const { id, url, headers } of VECTORS) {
    const ask = { asks: [{ url, headers }] };
    const python = answerOf<string[][]>(await daemon.run(PACK, ask, 60))[0] ?? [];
    const node = answerOf<string[][]>(await daemon.run(`${PACK}.node`, ask, 60))[0] ?? [];
    found.set(id, [...python, ...node]);
  }
});

afterAll(() => scope.disposeAsync());

test("the sample holds some of every group of the published vectors", () => {
  expect(VECTORS.length).toBeGreaterThanOrEqual(40);
});

describe("X57 X58 X60 with a grant for everything, from a real container", () => {
  test.for(VECTORS.map(({ id, group, what, expect: outcome }) => [id, group, what, outcome] as const))(
    "%s %s: %s is refused by rumi_syscall (%s), urllib, fetch and a tunnel",
    ([id, , , outcome]) => {
      const [syscall = "", ...others] = found.get(id) ?? [];
      // A name whose second lookup is another one answers the first asker alone.
      expect(syscall).toBe(outcome);
      for (const one of [syscall, ...others]) {
        expect(one).not.toContain("inside");
        expect(one.length).toBeGreaterThan(0);
      }
    },
  );

  test("nothing inside was ever asked", () => {
    expect(inside).toEqual([]);
  });

  test("every refusal is in the audit log, which holds", async () => {
    expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
    const { body } = await daemon.get<{ entries: { owner_pack: string }[] }>(
      "/api/audit?category=security&action=network_denied&limit=1000",
    );
    expect(body.data.entries.filter(({ owner_pack: pack }) => pack === PACK).length).toBeGreaterThanOrEqual(VECTORS.length);
  });
});

describe("X60 a name that changes its answer between two lookups", () => {
  test("each request goes to the address that was checked for it, or nowhere", async () => {
    await using own = await TestHome.create();
    await own.addPack(PACK);
    const asked: string[] = [];
    await using outside = await outsideServer((request, response) => void response.end(`outside ${asked.push(request.url ?? "")}`));
    await using guarded = await outsideServer((_request, response) => void response.end(`inside ${inside.push("flip")}`));
    const names = { "flip.rumi.example": [OUTSIDE_ADDRESS], "flop.rumi.example": ["10.0.0.1"] };
    const later = { "flip.rumi.example": ["127.0.0.1"], "flop.rumi.example": [OUTSIDE_ADDRESS] };
    await using flipping = await startInWorld(own, {
      names,
      later,
      ports: { [`${OUTSIDE_ADDRESS}:80`]: outside.port, "80": guarded.port },
    });
    await approveWith(flipping, PACK, { "network.egress": { allowed_domains: ["*"], allowed_ports: ["*"] } });
    const ends = answerOf<string[][]>(
      await flipping.run(PACK, { asks: [{ url: "http://flip.rumi.example/" }, { url: "http://flop.rumi.example/" }] }, 60),
    );
    expect(ends[0]?.[0]).toBe("200 outside 1");
    expect(ends[0]?.[1]).toMatch(/^403/u);
    expect(ends[1]?.[0]).toBe("blocked");
    expect(ends.flat().join(" ")).not.toContain("inside");
    expect(inside).toEqual([]);
  });
});

describe("X69 this machine's own listeners, with the machine's own resolver and network", () => {
  test("the daemon's API is never reached, whatever is granted; a service that is named is", async () => {
    await using own = await TestHome.create();
    await own.addPack(PACK);
    const port = await freePort();
    await using service = await outsideServer((_request, response) => void response.end("inside service"));
    await using real = await DaemonProcess.start(own, { ...NO_LIMITS, RUMI_API_PORT: String(port) });
    expect(real.url.endsWith(`:${port}`)).toBe(true);
    const pairs = [
      "127.0.0.1",
      "localhost",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "127.0.0.2",
      "0.0.0.0",
      "127.1",
      "2130706433",
      "169.254.169.254",
    ];
    const named = pairs.flatMap((host) => [`${host}:${port}`, `${host}:80`]);
    const grantable: string[] = [];
    for (const pair of named) {
      const answer = await real.post("/api/network/grant", {
        pack_id: PACK,
        allowed_domains: ["*"],
        allowed_ports: ["*"],
        allow_private: [pair],
      });
      if (answer.status === 200) grantable.push(pair);
    }
    await approveWith(real, PACK, {
      "network.egress": {
        allowed_domains: ["*"],
        allowed_ports: ["*"],
        allow_private: [...grantable, `127.0.0.1:${service.port}`],
        requests_per_minute: 100_000,
      },
    });
    const asks = [...pairs.map((host) => ({ url: `http://${host}:${port}/health` })), { url: "http://169.254.169.254/latest/meta-data/" }];
    const python = answerOf<string[][]>(await real.run(PACK, { asks }, 90));
    const node = answerOf<string[][]>(await real.run(`${PACK}.node`, { asks }, 90));
    for (const [at, { url }] of asks.entries()) {
      for (const end of [...(python[at] ?? []), ...(node[at] ?? [])]) {
        expect(end, url).not.toMatch(/^200/u);
        expect(end, url).not.toMatch(/success|version|"data"/u);
      }
      expect(["blocked", "validation_error", "connection_refused"], `${url} ${python[at]?.[0]}`).toContain(python[at]?.[0]);
    }
    const [reached] = answerOf<string[][]>(await real.run(PACK, { asks: [{ url: `http://127.0.0.1:${service.port}/` }] }));
    expect(reached?.[0]).toBe("200 inside service");
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

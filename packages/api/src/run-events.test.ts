import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { createClient } from "./client/index.ts";
import type { StreamEvent } from "./client/index.ts";
import { serveApi } from "./serve.ts";
import { ask, BASE } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

const FAST = { limits: { streamLookMs: 5, streamCommentSeconds: 0.02 } } as const;

/** A run of the fake house that goes on until it is finished. */
async function slowRun(house: FakeHouse, token: string): Promise<string> {
  house.held.add("slow");
  const started = await ask(house, "POST", "/api/flows/slow/run", { token, body: '{"async":true}' });
  return String(started.json.data?.["run_id"]);
}

function clientOf(house: FakeHouse, token: string) {
  return createClient({
    url: BASE,
    token,
    fetch: async (input, init) => await house.api.app.request(input instanceof Request ? input : input.toString(), init),
  });
}

/** Reads events until `until` says so or they end. */
async function take(
  events: AsyncGenerator<StreamEvent>,
  until: (seen: readonly StreamEvent[]) => boolean = () => false,
): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (until(seen)) break;
  }
  return seen;
}

async function follow(house: FakeHouse, token: string, runId: string, lastEventId?: number): Promise<AsyncGenerator<StreamEvent>> {
  const answer = await clientOf(house, token).stream("runs.events", {
    params: { id: runId },
    ...(lastEventId === undefined ? {} : { lastEventId }),
  });
  if (!answer.ok) throw new Error(answer.code);
  return answer.events;
}

test("H39 a stream that is cut and resumed has no gap and no repeat", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  for (let n = 0; n < 20; n += 1) house.events.log(run, "say", `line ${n}`);
  const seen: StreamEvent[] = [];
  for (let cut = 3; seen.at(-1)?.event !== "run.finished"; cut += 4) {
    const part = await take(await follow(house, token, run, seen.at(-1)?.id), (got) => got.length >= cut);
    seen.push(...part);
    if (cut === 11) {
      house.events.log(run, "say", "late\u2028 line\n\ndata: no");
      house.finish();
    }
  }
  expect(seen.map((event) => event.id)).toEqual(Array.from({ length: 23 }, (_, index) => index + 1));
  expect(seen.at(0)).toMatchObject({ event: "run.started", data: { flow_id: "slow" } });
  expect(seen.at(21)?.data["text"]).toBe("late\u2028 line\n\ndata: no");
  await expect.poll(() => house.events.open).toBe(0);
});

test("an event stream has its own media type, the fixed headers, and comments while nothing happens", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  const headers = { Authorization: `Bearer ${token}` };
  const response = await house.api.app.request(`${BASE}/api/runs/${run}/events`, { headers });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!/finished/u.test(text)) {
    text += (await reader?.read())?.value ?? "";
    if ((text.match(/^:$/gmu) ?? []).length > 3) house.finish();
  }
  expect(text).toMatch(/^:\n\nid: 1\nevent: run.started\ndata: \{"ts":"[^"]+","flow_id":"slow"\}\n\n:\n\n/u);
  await reader?.cancel();
});

test("H4 an open stream ends token.expired when its token is revoked, expires, or its grace is over", async () => {
  const clock = new ManualClock(Date.parse("2026-01-01T00:00:00Z"));
  const house = new FakeHouse({ ...FAST, clock });
  const admin = await house.token("admin");
  const run = await slowRun(house, admin);
  const tokens = await Promise.all(
    ["revoked", "rotated", "expires"].map((name) =>
      house.tokens.create({ name, scopes: ["read"], ...(name === "expires" ? { expires_at: "2026-01-01T01:00:00.000Z" } : {}) }, "test"),
    ),
  );
  const ends = tokens.map(async ({ token }) => (await take(await follow(house, token, run))).at(-1));
  await expect.poll(() => house.events.open).toBe(3);
  await house.tokens.remove(tokens[0]?.id ?? "", "test");
  await house.tokens.rotate(tokens[1]?.id ?? "", "test", 60);
  expect(await ends[0]).toEqual({ event: "token.expired", data: {} });
  expect(house.events.open).toBe(2);
  clock.advance(61_000);
  expect(await ends[1]).toEqual({ event: "token.expired", data: {} });
  clock.advance(3_600_000);
  expect(await ends[2]).toEqual({ event: "token.expired", data: {} });
  expect(house.events.open).toBe(0);
  const again = await clientOf(house, tokens[2]?.token ?? "").stream("runs.events", { params: { id: run } });
  expect(again).toMatchObject({ ok: false, status: 401, code: "auth.required" });
});

test("an open stream ends daemon.stopping when the daemon stops", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  const seen = take(await follow(house, token, run));
  await expect.poll(() => house.events.open).toBe(1);
  house.phase = "stopping";
  expect((await seen).map(({ event }) => event)).toEqual(["run.started", "daemon.stopping"]);
});

test("one token has at most 32 streams open; a client that leaves gives its place back, HEAD takes none", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  const path = `${BASE}/api/runs/${run}/events`;
  const headers = { Authorization: `Bearer ${token}` };
  for (let n = 0; n < 40; n += 1) expect((await house.api.app.request(path, { method: "HEAD", headers })).status).toBe(200);
  const open: Response[] = [];
  for (let n = 0; n < 32; n += 1) open.push(await house.api.app.request(path, { headers }));
  expect(open.map(({ status }) => status)).toEqual(Array.from({ length: 32 }, () => 200));
  const refused = await ask(house, "GET", `/api/runs/${run}/events`, { token });
  expect([refused.status, refused.json.code, refused.json.data?.["limit"]]).toEqual([429, "stream.capacity", 32]);
  expect((await house.api.app.request(path, { headers: { Authorization: `Bearer ${await house.token("read")}` } })).status).toBe(200);
  await open[0]?.body?.cancel();
  expect((await house.api.app.request(path, { headers })).status).toBe(200);
});

test("H41 a run token sees its own runs only, their events and lines too", async () => {
  const house = new FakeHouse(FAST);
  const [mine, other] = [await house.token("run"), await house.token("run")];
  const run = await slowRun(house, mine);
  house.events.log(run, "say", "hello");
  for (const path of [`/api/runs/${run}`, `/api/runs/${run}/logs`, `/api/runs/${run}/events`]) {
    const refused = await ask(house, "GET", path, { token: other });
    expect([path, refused.status, refused.json.code]).toEqual([path, 404, "flow.run_not_found"]);
  }
  expect((await ask(house, "GET", `/api/runs/${run}/logs`, { token: mine })).json.data?.["lines"]).toMatchObject([{ text: "hello" }]);
  expect((await ask(house, "GET", "/api/runs", { token: other })).json.data?.["runs"]).toEqual([]);
  expect((await ask(house, "GET", "/api/audit", { token: mine })).status).toBe(403);
  house.finish();
  expect((await take(await follow(house, mine, run))).at(-1)?.event).toBe("run.finished");
});

test("a Last-Event-ID that is no number is refused; one past the end waits for what comes", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  const headers = { "Last-Event-ID": "1; drop" };
  expect((await ask(house, "GET", `/api/runs/${run}/events`, { token, headers })).json.code).toBe("request.invalid");
  const seen = take(await follow(house, token, run, 1));
  house.finish();
  expect((await seen).map(({ id }) => id)).toEqual([2]);
});

test("no secret leaves in an event", async () => {
  const house = new FakeHouse(FAST);
  house.live.add("hunter2hunter2");
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  house.events.log(run, "say", "it is hunter2hunter2");
  house.finish();
  expect(JSON.stringify(await take(await follow(house, token, run)))).not.toContain("hunter2");
});

test("over the wire a client that goes away ends its stream, and closing waits for none", async () => {
  const house = new FakeHouse(FAST);
  const token = await house.token("admin");
  const run = await slowRun(house, token);
  await using server = await serveApi(house.api, { host: "127.0.0.1", port: 0 });
  const client = createClient({ url: server.url, token });
  const gone = new AbortController();
  const answer = await client.stream("runs.events", { params: { id: run }, signal: gone.signal });
  if (!answer.ok) throw new Error(answer.code);
  expect((await answer.events.next()).value).toMatchObject({ id: 1, event: "run.started" });
  gone.abort();
  expect((await answer.events.next()).done).toBe(true);
  await expect.poll(() => house.events.open).toBe(0);
  const stays = await client.stream("runs.events", { params: { id: run }, lastEventId: 1 });
  if (!stays.ok) throw new Error(stays.code);
  house.phase = "stopping";
  expect(await take(stays.events)).toEqual([{ event: "daemon.stopping", data: {} }]);
});

test("the runs of a list are cut by an opaque cursor, filtered by flow and state", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  for (let n = 0; n < 5; n += 1) await ask(house, "POST", "/api/flows/hello/run", { token });
  await slowRun(house, token);
  const list = async (query: string) => (await ask(house, "GET", `/api/runs?${query}`, { token })).json;
  const first = await list("flow_id=hello&limit=2");
  const second = await list(`flow_id=hello&limit=2&cursor=${String(first.data?.["next_cursor"])}`);
  const third = await list(`flow_id=hello&limit=2&cursor=${String(second.data?.["next_cursor"])}`);
  const ids = [first, second, third].flatMap((page) => ((page.data?.["runs"] ?? []) as { run_id: string }[]).map((run) => run.run_id));
  expect([ids.length, new Set(ids).size, third.data?.["next_cursor"]]).toEqual([5, 5, null]);
  expect((await list("state=running")).data?.["runs"]).toMatchObject([{ flow_id: "slow" }]);
  expect((await list("cursor=bm90X2E")).code).toBe("request.invalid");
});

import { RumiError } from "@rumi/core";
import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

test("H20 a long run does not delay /health", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const run = ask(house, "POST", "/api/flows/slow/run", { token });
  expect((await ask(house, "GET", "/health")).json.data).toEqual({ status: "ok" });
  house.finish();
  expect((await run).status).toBe(200);
});

test("H21 approving a reviewed digest after an edit is 409 and leaves the pack unapproved", async () => {
  const house = new FakeHouse();
  house.addPack("hello");
  const token = await house.token("approve");
  const review = await ask(house, "GET", "/api/packs/hello/review", { token });
  const pack = house.packs.get("hello");
  if (pack !== undefined) pack.content = "v2";
  const body = JSON.stringify({ expected_digest: review.json.data?.["digest"] });
  const answer = await ask(house, "POST", "/api/packs/hello/approve", { token, body });
  expect([answer.status, answer.json.code, answer.json.data?.["remedy"]]).toEqual([409, "approval.digest_moved", "rumi pack review hello"]);
  expect(pack?.status).toBe("installed");
});

test("H22 an unknown pack is 404 for approve, reject and status; an id that cannot be one is 400", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  for (const [method, path] of [
    ["POST", "/api/packs/none/approve"],
    ["POST", "/api/packs/none/reject"],
    ["GET", "/api/packs/none/status"],
  ] as const) {
    const answer = await ask(house, method, path, { token });
    expect([answer.status, answer.json.code]).toEqual([404, "approval.pack_not_found"]);
  }
  for (const id of ["a%2Fb", "..%2Fetc", "a%00", "%ff", "a%252Fb", "x".repeat(65), "a b"]) {
    const answer = await ask(house, "GET", `/api/packs/${id}/status`, { token });
    expect([id, answer.status, answer.json.code]).toEqual([id, 400, "request.invalid_id"]);
  }
  house.addPack("hello");
  expect((await ask(house, "GET", "/api/packs/%68ello/status", { token })).status).toBe(200);
});

test("H28 disable and enable answer and leave the digest as it is", async () => {
  const house = new FakeHouse();
  house.addPack("hello", "v1", "approved");
  const token = await house.token("admin");
  const before = await ask(house, "GET", "/api/packs/hello/status", { token });
  expect((await ask(house, "POST", "/api/packs/hello/disable", { token })).json.data).toEqual({ enabled: false });
  const after = await ask(house, "GET", "/api/packs/hello/status", { token });
  expect(after.json.data?.["enabled"]).toBe(false);
  expect(after.json.data?.["approved_digest"]).toBe(before.json.data?.["approved_digest"]);
  expect((await ask(house, "POST", "/api/packs/hello/enable", { token })).json.data).toEqual({ enabled: true });
});

test.each(["steps", "flow", "code", "principal_id", "_principal_id"])("H35 a run body with %s is 400", async (key) => {
  const house = new FakeHouse();
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token, body: JSON.stringify({ inputs: {}, [key]: "x" }) });
  expect([answer.status, answer.json.code]).toEqual([400, "request.invalid"]);
  expect(JSON.stringify(answer.json.data?.["issues"])).toContain(`/${key}`);
  expect(house.calls).toEqual([]);
});

test("H36 a run past its timeout is answered timed_out with its run", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/slow/run", { token, body: '{"timeout":0.2}' });
  expect([answer.status, answer.json.code, answer.json.data?.["state"]]).toEqual([408, "flow.timeout", "timed_out"]);
});

test("H37 one run too many is 429 with Retry-After; H74 with a raised limit it passes", async () => {
  for (const [max, expected] of [
    [10, 429],
    [11, 200],
  ] as const) {
    const house = new FakeHouse({ maxConcurrentRuns: max });
    house.held.add("slow");
    const token = await house.token("run");
    const ten = Array.from({ length: 10 }, () => ask(house, "POST", "/api/flows/slow/run", { token }));
    await expect.poll(() => house.calls.length).toBe(10);
    const eleventh = ask(house, "POST", "/api/flows/slow/run", { token });
    await expect.poll(() => house.calls.length).toBe(11);
    house.finish();
    const answer = await eleventh;
    expect(answer.status).toBe(expected);
    if (expected === 429) expect([answer.json.code, answer.headers.get("retry-after")]).toEqual(["flow.too_many_runs", "1"]);
    expect((await Promise.all(ten)).every((item) => item.status === 200)).toBe(true);
  }
});

test("H38 one Idempotency-Key sent twice is one run, also while it runs; another body is 409; another token is its own", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const headers = { "Idempotency-Key": "k1" };
  const first = ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":1}}' });
  const again = ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":1}}' });
  await expect.poll(() => house.calls.length).toBe(1);
  house.finish();
  expect((await first).json.data?.["run_id"]).toBe((await again).json.data?.["run_id"]);
  const other = await ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":2}}' });
  expect([other.status, other.json.code]).toEqual([409, "request.idempotency_mismatch"]);
  expect(house.runs.size).toBe(1);
  house.held.clear();
  expect((await ask(house, "POST", "/api/flows/slow/run", { token: await house.token("run"), headers })).status).toBe(200);
  expect(house.runs.size).toBe(2);
});

test("H38 a refused start is not remembered under its key", async () => {
  const house = new FakeHouse({ maxConcurrentRuns: 0 });
  const token = await house.token("run");
  const headers = { "Idempotency-Key": "k1" };
  expect((await ask(house, "POST", "/api/flows/hello/run", { token, headers })).status).toBe(429);
  expect((await ask(house, "POST", "/api/flows/hello/run", { token, headers })).status).toBe(429);
  expect(house.calls.length).toBe(2);
});

test("H40 a cancelled run answers its state, and cancelling again is 409", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const started = await ask(house, "POST", "/api/flows/slow/run", { token, body: '{"async":true}' });
  expect(started.status).toBe(202);
  const id = String(started.json.data?.["run_id"]);
  expect((await ask(house, "POST", `/api/runs/${id}/cancel`, { token })).json.data).toEqual({ state: "cancelled" });
  const again = await ask(house, "POST", `/api/runs/${id}/cancel`, { token });
  expect([again.status, again.json.code]).toEqual([409, "flow.run_finished"]);
});

test("H41 a run token may not run another flow (audited), and another's run is 404 to it", async () => {
  const house = new FakeHouse();
  const narrow = (await house.tokens.create({ name: "n", scopes: ["run"], allowed_flow_ids: ["hello"] }, "test")).token;
  const none = (await house.tokens.create({ name: "0", scopes: ["run"] }, "test")).token;
  const admin = await house.token("admin");
  expect((await ask(house, "POST", "/api/flows/hello/run", { token: narrow })).status).toBe(200);
  for (const [token, flow] of [
    [narrow, "slow"],
    [narrow, "no.such"],
    [none, "hello"],
  ] as const) {
    const answer = await ask(house, "POST", `/api/flows/${flow}/run`, { token });
    expect([answer.status, answer.json.code]).toEqual([403, "auth.scope"]);
  }
  const others = String((await ask(house, "POST", "/api/flows/slow/run", { token: admin })).json.data?.["run_id"]);
  expect((await ask(house, "GET", `/api/runs/${others}`, { token: narrow })).status).toBe(404);
  expect((await ask(house, "POST", `/api/runs/${others}/cancel`, { token: narrow })).status).toBe(404);
  expect((await ask(house, "GET", "/api/runs", { token: narrow })).json.data?.["count"]).toBe(1);
  expect((await ask(house, "GET", "/api/runs", { token: admin })).json.data?.["count"]).toBe(2);
  expect(house.audit.events.filter((event) => event.action === "api_denied" && event.rejection_reason === "auth.scope").length).toBe(3);
});

test("a failed run has its code's status, the run in data, and no path or second line in its text", async () => {
  const house = new FakeHouse();
  house.outcomes.set("hello", {
    state: "failed",
    code: "sandbox.block_error",
    reason: "Traceback\nValueError: bad file /srv/rumi/user_data/x.py here",
  });
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token });
  expect([answer.status, answer.json.code, answer.json.error]).toEqual([502, "sandbox.block_error", "ValueError: bad file <path> here"]);
  expect([answer.json.data?.["state"], answer.json.data?.["reason"], answer.json.data?.["retryable"]]).toEqual([
    "failed",
    "ValueError: bad file <path> here",
    false,
  ]);
});

test("a remedy names the flow of the path when the error does not", async () => {
  const house = new FakeHouse();
  house.deps.runs.run = () => Promise.reject(new RumiError("flow.input_type", "inputs.name must be string, got number"));
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token: await house.token("run") });
  expect([answer.status, answer.json.code, answer.json.data?.["remedy"]]).toEqual([400, "flow.input_type", "rumi flow show hello"]);
});

test("an aborted run is 200", async () => {
  const house = new FakeHouse();
  house.outcomes.set("hello", { state: "aborted", reason: "enough" });
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token: await house.token("run") });
  expect([answer.status, answer.json.success, answer.json.data?.["state"], answer.json.data?.["reason"]]).toEqual([
    200,
    true,
    "aborted",
    "enough",
  ]);
});

test("H41 a token that reads all runs ends only its own; admin ends any", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const started = await ask(house, "POST", "/api/flows/slow/run", { token: await house.token("run"), body: '{"async":true}' });
  const path = `/api/runs/${String(started.json.data?.["run_id"])}`;
  const both = await house.token("read", "run");
  expect((await ask(house, "GET", path, { token: both })).status).toBe(200);
  const refused = await ask(house, "POST", `${path}/cancel`, { token: both });
  expect([refused.status, refused.json.code, refused.json.data?.["scope"]]).toEqual([403, "auth.scope", "admin"]);
  expect((await ask(house, "GET", path, { token: both })).json.data?.["state"]).toBe("running");
  expect((await ask(house, "POST", `${path}/cancel`, { token: await house.token("admin") })).status).toBe(200);
});

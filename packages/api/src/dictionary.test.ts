import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import type { Answer } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

const rule = (token: string, value: string) => ({ namespace: "flow_id", token, value });

async function house(scope: "read" | "approve" | "admin" = "admin") {
  const made = new FakeHouse();
  const token = await made.token(scope);
  const post = (verb: string, body: unknown): Promise<Answer> =>
    ask(made, "POST", `/api/shared_dict/${verb}`, { token, body: JSON.stringify(body) });
  return { house: made, post, get: (query = ""): Promise<Answer> => ask(made, "GET", `/api/shared_dict${query}`, { token }) };
}

test("F81 each result has its status: accepted 200, conflict and cycle 409, no word 400, absent 404, with the command that mends it", async () => {
  const { post } = await house();
  const first = await post("propose", rule("A", "B"));
  expect([first.status, first.json.data]).toEqual([200, { ...rule("A", "B"), result: "accepted" }]);
  expect((await post("propose", rule("A", "B"))).status).toBe(200);
  const answers = [
    await post("propose", rule("B", "A")),
    await post("propose", rule("C", "C")),
    await post("propose", rule("A", "C")),
    await post("propose", rule("", "C")),
    await post("propose", rule("A", "x".repeat(300))),
    await post("remove", { namespace: "flow_id", token: "Z" }),
    await post("remove", { namespace: "flow_id", token: "A", value: "other" }),
  ];
  expect(answers.map((answer) => [answer.status, answer.json.code, answer.json.data?.["remedy"]])).toEqual([
    [409, "dict.cycle_detected", "rumi dict list flow_id"],
    [409, "dict.cycle_detected", "rumi dict list flow_id"],
    [409, "dict.conflict", "rumi dict remove flow_id A"],
    [400, "dict.rejected", undefined],
    [400, "dict.rejected", undefined],
    [404, "dict.not_found", "rumi dict list flow_id"],
    [404, "dict.not_found", "rumi dict list flow_id"],
  ]);
  const gone = await post("remove", { namespace: "flow_id", token: "A" });
  expect([gone.status, gone.json.data]).toEqual([200, { ...rule("A", "B"), result: "removed" }]);
});

test("the list shows the end of each chain, of one namespace or token, page by page whatever the words are", async () => {
  const { house: made, get, post } = await house();
  await post("propose", rule("A", "B"));
  await post("propose", rule("B", "C"));
  await post("propose", { namespace: "𝒩".repeat(64), token: "𝒳".repeat(128), value: "v" });
  expect((await get("?namespace=flow_id&token=A")).json.data).toEqual({
    rules: [{ ...rule("A", "B"), resolved: "C", hops: 2 }],
    count: 1,
    next_cursor: null,
  });
  expect((await get("?namespace=none")).json.data).toEqual({ rules: [], count: 0, next_cursor: null });
  for (let n = 0; n < 3; n += 1) await made.dictionary.propose({ namespace: "𝒩".repeat(64), token: "𝒳".repeat(120) + n, value: "v" });
  const seen: unknown[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const { json } = await get(`?limit=1${cursor === "" ? "" : `&cursor=${cursor}`}`);
    seen.push(...(json.data?.["rules"] as unknown[]));
    cursor = json.data?.["next_cursor"] as string | null;
  }
  expect(seen).toHaveLength(6);
});

test("reading needs read, changing needs admin; nothing but words is taken", async () => {
  const reader = await house("read");
  expect((await reader.get()).status).toBe(200);
  const approver = await house("approve");
  for (const { post, house: made } of [reader, approver]) {
    for (const verb of ["propose", "remove"]) expect((await post(verb, rule("A", "B"))).status).toBe(403);
    expect(made.calls).toEqual([]);
  }
  const { post, house: made } = await house();
  for (const body of [
    {},
    rule("A", "B").token,
    { ...rule("A", "B"), value: 1 },
    { ...rule("A", "B"), actor: "me" },
    { ...rule("A", "B"), namespace: ["n"] },
  ])
    expect((await post("propose", body)).status).toBe(400);
  expect(made.calls).toEqual([]);
});

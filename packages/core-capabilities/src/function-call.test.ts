import type { ApprovedPack } from "@rumi/approval";
import type { Decision, ErrorCode, JsonObject, PackId } from "@rumi/core";
import { expect, test } from "vitest";
import { functionCall } from "./function-call.ts";
import type { FoundFunction, FunctionAsk, FunctionEnd, FunctionHouse } from "./ports.ts";
import { ask, caller, FakeRights } from "./testing/ask.ts";

const GRANT = { allowed_functions: ["beta:send"] };

class House implements FunctionHouse {
  readonly asked: FunctionAsk[] = [];
  end: FunctionEnd = { ok: true, value: { sent: true } };
  readonly #known: FoundFunction[] = [
    { pack_id: "beta" as PackId, name: "beta:send", requires: ["store.get"], caller_requires: ["store.set"] },
    { pack_id: "alpha" as PackId, name: "alpha:own", requires: [], caller_requires: [] },
  ];

  find(name: string): FoundFunction | undefined {
    return this.#known.find((one) => one.name === (name === "mail.send" ? "beta:send" : name));
  }

  call(asked: FunctionAsk): Promise<FunctionEnd> {
    this.asked.push(asked);
    return Promise.resolve(this.end);
  }
}

const approvals = (open = true) => ({
  gate: (): Decision<ApprovedPack, ErrorCode> =>
    open ? ({ allowed: true } as Decision<ApprovedPack, ErrorCode>) : { allowed: false, code: "approval.modified", reason: "modified" },
});
const rights = (): FakeRights => new FakeRights().grant("beta", "store.get").grant("alpha", "store.set");

function use(house: House, args: JsonObject, grant: JsonObject | null = GRANT, held = rights(), open = true) {
  return ask(functionCall({ functions: house, approvals: approvals(open), rights: held }), args, { grant });
}

test("F87 a granted function of another pack is called with its args, by name or alias", async () => {
  const house = new House();
  expect(await use(house, { function: "beta:send", args: { to: "x" } })).toEqual({ ok: true, output: { result: { sent: true } } });
  expect(await use(house, { function: "mail.send" })).toMatchObject({ ok: true });
  expect(house.asked).toMatchObject([
    { name: "beta:send", args: { to: "x" } },
    { name: "beta:send", args: {} },
  ]);
});

test("the own pack's functions need no grant, also unknown ones are told", async () => {
  const house = new House();
  expect(await use(house, { function: "alpha:own" }, null)).toMatchObject({ ok: true });
  expect(await use(house, { function: "alpha:nope" }, null)).toMatchObject({ error_type: "function_not_found" });
  expect(await use(house, { function: "alpha:nope" }, null, rights(), false)).toMatchObject({ error_type: "permission_denied" });
  expect(
    await ask(
      functionCall({ functions: house, approvals: approvals(), rights: rights() }),
      { function: "alpha:own" },
      {
        grant: null,
        caller: caller("alpha__child"),
      },
    ),
  ).toMatchObject({ error_type: "permission_denied" });
});

test("T44 without a grant that names it, or without what it requires, nothing runs", async () => {
  const house = new House();
  const denied = { ok: false, error_type: "permission_denied" };
  for (const grant of [null, {}, { allowed_functions: [] }, { allowed_functions: ["gamma:x"] }]) {
    expect(await use(house, { function: "beta:send" }, grant)).toMatchObject(denied);
    expect(await use(house, { function: "mail.send" }, grant)).toMatchObject(denied);
    expect(await use(house, { function: "no.such" }, grant)).toMatchObject(denied);
  }
  expect(await use(house, { function: "beta:send" }, GRANT, new FakeRights().grant("beta", "store.get"))).toMatchObject({
    ...denied,
    reason: "function.call_denied: alpha does not hold store.set",
  });
  expect(await use(house, { function: "beta:send" }, GRANT, new FakeRights().grant("alpha", "store.set"))).toMatchObject({
    ...denied,
    reason: "function.requires_denied: beta does not hold store.get",
  });
  expect(await use(house, { function: "beta:send" }, GRANT, rights(), false)).toMatchObject(denied);
  expect(house.asked).toEqual([]);
});

test("what another pack's function raised stays with the operator", async () => {
  const house = new House();
  house.end = { ok: false, error_type: "block_error", code: "sandbox.block_error", message: "sk-secret" };
  const outcome = await use(house, { function: "beta:send" });
  expect(outcome).toMatchObject({ ok: false, error_type: "block_error", error: "The function did not complete" });
  expect(outcome.ok ? "" : outcome.reason).toContain("sk-secret");
});

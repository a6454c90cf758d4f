import { FakeHouse } from "@rumi/api/testing";
import { expect, test } from "vitest";
import { FakeWorld } from "./testing/fake-world.ts";

async function house(): Promise<{ readonly house: FakeHouse; readonly world: FakeWorld }> {
  const made = new FakeHouse();
  return { house: made, world: new FakeWorld(made, await made.token("admin")) };
}

test("F81 dict propose, list and remove; each refusal exits with its own code and names the command that mends it", async () => {
  const { house: made, world } = await house();
  expect((await world.run("dict", "list")).stdout).toContain("rumi dict propose NAMESPACE TOKEN VALUE");
  expect(await world.run("dict", "propose", "flow_id", "greet", "hello")).toMatchObject({
    exitCode: 0,
    stdout: "In flow_id, greet means hello.\n",
  });
  await world.run("dict", "propose", "flow_id", "hello", "hello.v2");
  expect((await world.run("dict", "ls", "flow_id")).stdout).toBe(
    "NAMESPACE  TOKEN  VALUE     IN THE END\nflow_id    greet  hello     hello.v2\nflow_id    hello  hello.v2  -\n",
  );
  expect((await world.run("dict", "list", "flow_id", "hello")).stdout).not.toContain("greet");
  const conflict = await world.run("dict", "propose", "flow_id", "greet", "other");
  expect([conflict.exitCode, conflict.stderr.includes("rumi dict remove flow_id greet")]).toEqual([5, true]);
  const cycle = await world.run("dict", "propose", "flow_id", "hello.v2", "hello.v2", "--json");
  expect([cycle.exitCode, JSON.parse(cycle.stdout)]).toMatchObject([5, { success: false, code: "dict.cycle_detected" }]);
  expect((await world.run("dict", "remove", "flow_id", "greet", "other")).exitCode).toBe(6);
  expect((await world.run("dict", "rm", "flow_id", "greet")).stdout).toBe("In flow_id, greet no longer means hello.\n");
  expect((await world.run("dict", "remove", "flow_id", "greet")).exitCode).toBe(6);
  expect((await world.run("dict", "propose", "flow_id", "x")).exitCode).toBe(2);
  expect([...(made.dictionary.rules.get("flow_id") ?? [])]).toEqual([["hello", "hello.v2"]]);
});

test("words are printed escaped, in the operator's language", async () => {
  const { world } = await house();
  const { stdout } = await world.run("dict", "propose", "n", "a\u202Eb", "v\u001b[31m", "--lang", "ja");
  expect(stdout).toBe("n では a\\u{202e}b は v\\u{1b}[31m を意味します。\n");
});

test("namespaces are completed", async () => {
  const { world } = await house();
  for (const [namespace, token] of [
    ["flow_id", "a"],
    ["flow_id", "b"],
    ["other", "a"],
  ] as const)
    await world.run("dict", "propose", namespace, token, "v");
  expect((await world.run("completion", "ids", "dict")).stdout).toBe("flow_id\nother\n");
});

import { readFile } from "node:fs/promises";
import { systemClock } from "@rumi/core";
import { expect, test } from "vitest";
import { contextHandlers, FlowRunner, FlowTable } from "./index.ts";

test("the README's example runs a flow in ten statements", async () => {
  const squeeze = (code: string): string => code.replaceAll(/\s+/gu, "").replaceAll(/,(?=[)}\]])/gu, "");
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n([\s\S]*?)```/u.exec(readme)?.[1] ?? "";
  const statements = example.split("\n").filter((line) => /^[a-z]/u.test(line));
  expect(statements.length).toBeGreaterThan(5);
  expect(statements.length).toBeLessThanOrEqual(10);
  const body = example.slice(example.indexOf("const text"), example.indexOf("console.log"));
  expect(squeeze(await readFile(new URL("readme.test.ts", import.meta.url), "utf8"))).toContain(squeeze(body));

  const text =
    'flow_id: hello\nphases: [main]\nsteps:\n  - {id: greet, phase: main, type: set, input: {key: greeting, value: "Hi ${ctx.name}!"}}';
  const handlers = contextHandlers();
  const noBlocks = { resolve: () => ({ found: false, missing: "pack", message: "no packs here" }) as const };
  const table = FlowTable.compose([{ text, source: { source: "shared", pack_id: null, file: "hello.flow.yaml" } }], {
    blocks: noBlocks,
    handlers,
  });
  const runner = new FlowRunner({
    table: () => table,
    handlers,
    clock: systemClock,
    blocks: { run: () => Promise.reject(new Error("no blocks")) },
    audit: { record: () => Promise.resolve() },
    logger: { log: () => undefined },
  });
  const answer = await runner.run("hello", { name: "Rumi" }, { caller: "me", trigger: "api" });
  expect(answer.result).toEqual({ name: "Rumi", greeting: "Hi Rumi!" });
});

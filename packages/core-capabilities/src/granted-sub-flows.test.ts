import { openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import { blockGives, FakeBlocks, flowFile, TestBench } from "@rumi/flow-engine/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { GrantedSubFlows } from "./granted-sub-flows.ts";

async function bench(folder: string): Promise<{ readonly book: TestGrants; readonly flows: TestBench }> {
  const book = await openTestGrants(folder);
  const blocks = new FakeBlocks({ "q/b.py": (call) => blockGives(call.owner_pack) });
  const files = [
    flowFile("flow_id: p\nphases: [main]\nsteps:\n  - {id: s, phase: main, type: flow, flow: q.x, output: got}\n", { pack: "p" }),
    flowFile("flow_id: q.x\nphases: [main]\nsteps:\n  - {id: b, phase: main, type: python_file_call, file: b.py, output: who}\n", {
      pack: "q",
    }),
  ];
  return { book, flows: new TestBench(files, { blocks, deps: { rights: new GrantedSubFlows({ grants: book.grants }) } }) };
}

test("F48 a pack's flow step to another pack's flow: without a grant run_denied; granted, its block acts as its own pack", async () => {
  await using home = await temporaryFolder("rumi-sub-");
  const { book, flows } = await bench(home.path);
  const run = () => flows.runner.run("p", {}, { trigger: "api", caller: "test" });
  expect((await run()).failed_steps).toMatchObject([{ code: "flow.run_denied" }]);
  for (const config of [{}, { allowed_flow_ids: [] }, { allowed_flow_ids: ["q"] }]) {
    await book.give("p", "flow.run", config);
    expect((await run()).failed_steps).toMatchObject([{ code: "flow.run_denied" }]);
  }
  expect(flows.blocks.calls).toEqual([]);
  await book.give("p", "flow.run", { allowed_flow_ids: ["q.*"], max_uses: 1 });
  expect((await run()).result).toEqual({ got: { who: "q" } });
  expect((await run()).failed_steps).toMatchObject([{ code: "flow.run_denied" }]);
});

import { cp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createPackSdkCopy, unformatted } from "../tools/pack-sdk-copy.ts";
import { runnerRoot } from "../src/runner-root.ts";
import { startRunner } from "./start-runner.ts";

const SDK_SOURCE = fileURLToPath(new URL("../../pack-sdk/src", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../../examples/packs", import.meta.url));

test("the SDK in the runner is the SDK: run packages/runner/tools/copy-pack-sdk.ts after a change", async () => {
  const folder = join(runnerRoot(), "node", "pack-sdk");
  const copy = await createPackSdkCopy(SDK_SOURCE);
  expect((await readdir(folder)).sort()).toEqual([...copy.keys()].sort());
  for (const [name, text] of copy) expect(unformatted(await readFile(join(folder, name), "utf8")), name).toBe(unformatted(text));
});

test("a TypeScript block imports @rumi/pack-sdk without any dependency of its pack", async () => {
  await using runner = await startRunner("node", {
    files: {
      "blocks/ask.ts":
        'import { call, defineBlock, get, getSecret, store, type BlockContext } from "@rumi/pack-sdk";\nexport const run = defineBlock(async (input: { a: number }, context: BlockContext) => [input.a, context.owner_pack, (await get("https://x.y")).error_type, (await call("p.q")).error_type, await getSecret("K"), (await store.get("s", "k")).success]);\n',
    },
  });
  expect(await runner.call("blocks/ask.ts", { a: 1 })).toMatchObject({
    kind: "ok",
    value: [1, "test_pack", "socket_not_found", "socket_not_found", null, false],
  });
});

test("the example packs run", async () => {
  await using node = await startRunner("node", { files: {} });
  await cp(join(EXAMPLES, "hello_ts_pack"), node.pack, { recursive: true });
  expect(await node.call("backend/blocks/hello.ts", { name: "Rumi" })).toMatchObject({
    kind: "ok",
    value: { message: "Hello, Rumi!", from: "test_pack" },
    logs: [{ text: "greeting for test_pack.flow" }],
  });
  await using python = await startRunner("python", { files: {} });
  await cp(join(EXAMPLES, "my_pack"), python.pack, { recursive: true });
  expect(await python.call("backend/blocks/hello.py", { name: "Rumi" })).toMatchObject({ kind: "ok", value: { message: "Hello, Rumi!" } });
});

import { temporaryFolder } from "@rumi/testkit";
import { contractFakes } from "./contract-pack.ts";
import { FakeSandbox } from "./fake-sandbox.ts";
import { sandboxContract } from "./sandbox-contract.ts";

sandboxContract("FakeSandbox", async () => {
  const folder = await temporaryFolder();
  const sandbox = new FakeSandbox({ blocks: contractFakes() });
  return {
    sandbox,
    folder: folder.path,
    leftovers: async () => (await sandbox.list()).map((held) => held.instance_id),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});

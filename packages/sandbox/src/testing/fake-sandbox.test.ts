import { temporaryFolder } from "@rumi/testkit";
import { contractFakes } from "./contract-pack.ts";
import { FakeSandbox } from "./fake-sandbox.ts";
import type { SandboxHarness } from "./harness.ts";
import { sandboxContract } from "./sandbox-contract.ts";

async function fakeHarness(): Promise<SandboxHarness> {
  const folder = await temporaryFolder();
  const sandbox = new FakeSandbox({ blocks: contractFakes() });
  return {
    sandbox,
    folder: folder.path,
    leftovers: async () => (await sandbox.list()).map((held) => held.instance_id),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

sandboxContract("FakeSandbox", fakeHarness);
sandboxContract("FakeSandbox with reuse", fakeHarness, { reuse: true });

import type { Digest, PackId } from "@rumi/core";
import { egressPolicyContract } from "./egress-policy-contract.ts";
import { TestPolicy } from "./test-policy.ts";

egressPolicyContract("TestPolicy", (grant) => {
  const policy = new TestPolicy();
  if (grant !== null) policy.grant("pack", grant);
  return Promise.resolve({ policy, principal: "pack" as PackId, digest: `sha256:${"0".repeat(64)}` as Digest });
});

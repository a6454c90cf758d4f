export { openTestEgress, TestFrames } from "./open-test-egress.ts";
export type { TestEgress } from "./open-test-egress.ts";
export { TRUSTED_CERTIFICATE, UNTRUSTED_CERTIFICATE } from "./test-certificates.ts";
export { TestNet } from "./test-net.ts";
export { TestOwner } from "./test-owner.ts";
export { TestPolicy } from "./test-policy.ts";
export type { TestGrant } from "./test-policy.ts";
export { TestSecrets } from "./test-secrets.ts";

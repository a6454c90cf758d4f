export { FakeReviewReader } from "./fake-review-reader.ts";
export { openTestApprovals } from "./open-test-approvals.ts";
export type { TestApprovals } from "./open-test-approvals.ts";

export { PackApprovals } from "./pack-approvals.ts";
export type { PackApprovalsDeps, PackApprovalsOptions } from "./pack-approvals.ts";
export type { PackChange, PackListener, PackMove } from "./change-board.ts";
export type { ApprovedPack, ClosedBecause, GateDecision, GateRefusal } from "./approval-gate.ts";
export type { ApproveAnswer, PackState, PackSummary, RejectAnswer, ScanAnswer } from "./pack-views.ts";
export type { PackReview } from "./pack-review.ts";
export type { ChangedFile, FileChanges, ReviewFile } from "./file-changes.ts";
export type { SectionChange, SectionChanges } from "./section-changes.ts";

export { nextApprovalState } from "./approval-state.ts";
export type { ApprovalEvent, ApprovalStep, PackStatus } from "./approval-state.ts";
export type { ApprovalOrigin, ApprovalRecord, HistoryEntry } from "./approval-record.ts";
export { isDevApprovalOn, mayApproveItself, NO_DEV_APPROVAL } from "./dev-approval.ts";
export type { DevApproval, DevCandidate } from "./dev-approval.ts";
export { escapeText } from "./escape-text.ts";

export { REVIEW_SECTIONS } from "./ports.ts";
export type { ModifierFacts, PackFacts, ReviewItem, ReviewReader, ReviewSectionName, ReviewSections } from "./ports.ts";

export { ApprovalError } from "./errors.ts";
export type { ApprovalCode, ApprovalErrorCode } from "./errors.ts";

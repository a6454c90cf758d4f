import { describe, expect, test } from "vitest";
import { nextApprovalState } from "./approval-state.ts";
import type { ApprovalEvent, PackStatus } from "./approval-state.ts";

const STATES: readonly (PackStatus | null)[] = ["installed", "approved", "modified", "blocked", "error", null];

/** One row of the table: the event, then the outcome for each state of STATES. `!code` is a refusal. */
const TABLE: readonly (readonly [ApprovalEvent, ...(string | null)[]])[] = [
  [{ type: "scan", valid: true }, "installed", "approved", "modified", "blocked", "installed", "installed"],
  [{ type: "scan", valid: false }, "error", "approved", "modified", "blocked", "error", "error"],
  [{ type: "tree_differs", valid: true }, "installed", "modified", "modified", "blocked", "installed", "installed"],
  [{ type: "tree_differs", valid: false }, "error", "modified", "modified", "blocked", "error", "error"],
  [{ type: "distrust" }, "modified", "modified", "modified", "blocked", "modified", null],
  [
    { type: "approve", unblock: false },
    "approved",
    "approved",
    "approved",
    "!approval.blocked",
    "!approval.not_approved",
    "!approval.pack_not_found",
  ],
  [
    { type: "approve", unblock: true },
    "approved",
    "approved",
    "approved",
    "approved",
    "!approval.not_approved",
    "!approval.pack_not_found",
  ],
  [{ type: "reject" }, "blocked", "blocked", "blocked", "blocked", "blocked", "!approval.pack_not_found"],
  [{ type: "folder_gone" }, null, "modified", "modified", "blocked", null, null],
  [{ type: "uninstall", forget: false }, null, null, null, "blocked", null, null],
  [{ type: "uninstall", forget: true }, null, null, null, null, null, null],
];

describe("the table of states and events", () => {
  for (const [event, ...outcomes] of TABLE) {
    test(`${JSON.stringify(event)} leads where the table says`, () => {
      const found = STATES.map((state) => {
        const step = nextApprovalState(state, event);
        return step.ok ? step.state : `!${step.code}`;
      });
      expect(found).toEqual(outcomes);
    });
  }

  test("nothing but an approval ever leads to approved", () => {
    for (const [event] of TABLE) {
      for (const state of STATES) {
        const step = nextApprovalState(state, event);
        if (step.ok && step.state === "approved" && state !== "approved") expect(event.type).toBe("approve");
      }
    }
  });
});

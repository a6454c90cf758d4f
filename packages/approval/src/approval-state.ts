import type { ApprovalCode } from "./errors.ts";

/** How a pack stands. */
export type PackStatus = "installed" | "approved" | "modified" | "blocked" | "error";

/** What may happen to a pack. */
export type ApprovalEvent =
  /** Its folder was read. `valid`: id, manifest and tree are in order. */
  | { readonly type: "scan"; readonly valid: boolean }
  /** Its files are not the approved ones, or other bytes were applied. */
  | { readonly type: "tree_differs"; readonly valid: boolean }
  /** Its record or its snapshot cannot be trusted. */
  | { readonly type: "distrust" }
  | { readonly type: "approve"; readonly unblock: boolean }
  | { readonly type: "reject" }
  | { readonly type: "folder_gone" }
  | { readonly type: "uninstall"; readonly forget: boolean };

/** The next state, `null` for a pack that is no longer known, or the code of the refusal. */
export type ApprovalStep = { readonly ok: true; readonly state: PackStatus | null } | { readonly ok: false; readonly code: ApprovalCode };

const to = (state: PackStatus | null): ApprovalStep => ({ ok: true, state });
const no = (code: ApprovalCode): ApprovalStep => ({ ok: false, code });

/** The table of page "Trust", section 5. `null` as the state: nothing is known of the pack yet. */
export function nextApprovalState(state: PackStatus | null, event: ApprovalEvent): ApprovalStep {
  switch (event.type) {
    case "scan":
    case "tree_differs":
      if (state === "approved") return to(event.type === "scan" ? "approved" : "modified");
      if (state === "modified" || state === "blocked") return to(state);
      return to(event.valid ? "installed" : "error");
    case "distrust":
      return to(state === "blocked" ? "blocked" : state === null ? null : "modified");
    case "approve":
      if (state === null) return no("approval.pack_not_found");
      if (state === "blocked" && !event.unblock) return no("approval.blocked");
      if (state === "error") return no("approval.not_approved");
      return to("approved");
    case "reject":
      return state === null ? no("approval.pack_not_found") : to("blocked");
    case "folder_gone":
      if (state === "approved" || state === "modified") return to("modified");
      return to(state === "blocked" ? "blocked" : null);
    case "uninstall":
      return to(state === "blocked" && !event.forget ? "blocked" : null);
  }
}

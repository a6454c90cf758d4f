import type { PackId, SecretKey } from "@rumi/core";

/** Partial hits of one binding within `WINDOW_MS` that suspend it (page "Trust", section 9). */
export const MAX_PARTIAL_HITS = 5;

/** Counts pieces of secrets that came back to a pack; a binding with too many rests until an operator lifts it. */
export class BindingWatch {
  /** True while the binding of this pack and key is suspended. Memory only. */
  suspended(_principal: PackId, _key: SecretKey): boolean {
    throw new Error("not yet");
  }

  /** Counts partial hits; resolves with whether the binding is suspended now. */
  note(_principal: PackId, _key: SecretKey, _hits = 1): Promise<boolean> {
    throw new Error("not yet");
  }

  /** Ends a suspension (an operator granted the binding again); false when there was none. */
  lift(_principal: PackId, _key: SecretKey, _actor: string): Promise<boolean> {
    throw new Error("not yet");
  }

  list(): { readonly principal_id: PackId; readonly key: SecretKey; readonly suspended_at: string }[] {
    throw new Error("not yet");
  }
}

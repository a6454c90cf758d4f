import type { GrantBook } from "@rumi/capability";
import { isoTime, SecretKey } from "@rumi/core";
import type { Clock, PackId } from "@rumi/core";
import type { BindingWatch } from "@rumi/secrets";
import * as v from "valibot";

const SECRETS_USE = "secrets.use";

export interface BindingYesDeps {
  readonly grants: Pick<GrantBook, "list">;
  readonly watch: Pick<BindingWatch, "lift">;
  readonly clock: Clock;
}

/**
 * A new yes to a brokered secret also ends the rest of a binding from which too many pieces had come back. Taking some of a
 * pack's bindings away is no yes to the others, nor is the end of its right.
 */
export class BindingYes {
  readonly #deps: BindingYesDeps;
  /** The bindings that each principal held when it was looked at last. */
  readonly #held = new Map<PackId, ReadonlySet<string>>();

  constructor(deps: BindingYesDeps) {
    this.#deps = deps;
    for (const principal of Object.keys(deps.grants.list())) this.#look(principal as PackId);
  }

  /** The right of `principal` came, changed, went or ended. */
  async changed(principal: PackId): Promise<void> {
    const before = this.#held.get(principal) ?? new Set();
    const { bindings, by } = this.#look(principal);
    if (bindings.size < before.size && [...bindings].every((binding) => before.has(binding))) return;
    for (const binding of bindings) {
      const key = v.safeParse(SecretKey, binding.split("@", 1)[0]);
      if (key.success) await this.#deps.watch.lift(principal, key.output, by);
    }
  }

  #look(principal: PackId): { readonly bindings: ReadonlySet<string>; readonly by: string } {
    const { clock, grants } = this.#deps;
    const right = (grants.list(principal)[principal] ?? []).find((one) => one.permission_id === SECRETS_USE);
    const isOver = right?.expires_at !== undefined && right.expires_at <= isoTime(clock.now());
    const named = isOver ? undefined : right?.config["allowed_bindings"];
    const bindings = new Set(Array.isArray(named) ? named.map(String) : []);
    if (bindings.size === 0) this.#held.delete(principal);
    else this.#held.set(principal, bindings);
    return { bindings, by: right?.granted_by ?? "" };
  }
}

import type { TokenStore } from "../ports.ts";
import type { TokenRecord } from "../schemas/tokens.ts";

/** Keeps token records in memory; `tampered` makes the next load refuse them. */
export class MemoryTokenStore implements TokenStore {
  tokens: readonly TokenRecord[] | null = null;
  tampered = false;

  load(): ReturnType<TokenStore["load"]> {
    if (this.tampered) return Promise.resolve({ state: "tampered", reason: "bad mac" });
    return Promise.resolve(this.tokens === null ? { state: "absent" } : { state: "ok", tokens: this.tokens });
  }

  save(tokens: readonly TokenRecord[]): Promise<void> {
    this.tokens = tokens;
    return Promise.resolve();
  }
}

import type { TokenStore } from "./ports.ts";
export class TokenRegistry { readonly store: TokenStore; constructor(store: TokenStore) { this.store = store; } }

import type { Scope } from "./schemas/tokens.ts";

/** Who may call a route: anyone (`open`), a token with one scope, or with any of a list. */
export type RouteScope = "open" | Scope | readonly Scope[];

/** What each scope of a token opens beside itself. Source: page 40, section 2. */
const INCLUDES: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ["read"],
  run: ["run"],
  approve: ["approve", "read"],
  admin: ["admin", "approve", "run", "read"],
};

/** True when a token with `held` may call a route of `needed`. */
export function mayCall(held: readonly Scope[], needed: RouteScope): boolean {
  if (needed === "open") return true;
  const wanted = typeof needed === "string" ? [needed] : needed;
  return held.some((scope) => INCLUDES[scope].some((open) => wanted.includes(open)));
}

/** The scope to ask an operator for. */
export function scopeName(needed: RouteScope): string {
  return typeof needed === "string" ? needed : needed.join(" or ");
}

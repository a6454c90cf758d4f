import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import type { Caller } from "./token-registry.ts";

/** What every request carries through the pipeline. */
export interface ApiEnv {
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    caller: Caller;
    corsOrigin: string | undefined;
    /** Takes what this request holds in confidence out of a text. */
    hush: ((text: string) => string) | undefined;
  };
}

/** One request on its way. */
export type ApiContext = Context<ApiEnv>;

/** Where a request comes from, as the socket says. */
export function addressOf(c: ApiContext): string {
  return c.env?.incoming?.socket.remoteAddress ?? "unknown";
}

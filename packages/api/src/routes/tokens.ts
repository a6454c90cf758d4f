import { route } from "../route.ts";
import { page } from "../schemas/common.ts";
import { CreateTokenBody, IssuedToken, RemovedAnswer, RotateBody, TokenParams, TokenView } from "../schemas/tokens.ts";

/** API tokens. A value is only in the answer that makes it. */
export const tokenRoutes = [
  route({
    name: "tokens.list",
    method: "GET",
    path: "/api/tokens",
    scope: "admin",
    summary: "Every token, never its value",
    verb: "token list",
    data: page("tokens", TokenView),
    handler: (_, { deps }) => {
      const tokens = deps.tokens.list();
      return { tokens, count: tokens.length, next_cursor: null };
    },
  }),
  route({
    name: "tokens.create",
    method: "POST",
    path: "/api/tokens",
    scope: "admin",
    summary: "Make a token; its value is in this answer alone",
    verb: "token create",
    body: CreateTokenBody,
    data: IssuedToken,
    handler: ({ body }, { deps, caller }) => deps.tokens.create(body, caller.actor),
  }),
  route({
    name: "tokens.rotate",
    method: "POST",
    path: "/api/tokens/{id}/rotate",
    scope: "admin",
    summary: "Give a token a new value; the old one passes for the grace time",
    verb: "token rotate",
    params: TokenParams,
    body: RotateBody,
    data: IssuedToken,
    handler: ({ params, body }, { deps, caller }) => deps.tokens.rotate(params.id, caller.actor, body.grace_seconds),
  }),
  route({
    name: "tokens.delete",
    method: "DELETE",
    path: "/api/tokens/{id}",
    scope: "admin",
    summary: "End a token at once",
    verb: "token revoke",
    params: TokenParams,
    data: RemovedAnswer,
    handler: async ({ params }, { deps, caller }) => {
      await deps.tokens.remove(params.id, caller.actor);
      return { id: params.id, removed: true };
    },
  }),
] as const;

import { cutPage } from "../page.ts";
import { route } from "../route.ts";
import { page } from "../schemas/common.ts";
import {
  DictionaryListQuery,
  DictionaryProposeBody,
  DictionaryProposed,
  DictionaryRemoveBody,
  DictionaryRemoved,
  DictionaryRuleView,
} from "../schemas/dictionary.ts";

/** The words that operators agree on. */
export const dictionaryRoutes = [
  route({
    name: "dictionary.list",
    method: "GET",
    path: "/api/shared_dict",
    scope: "read",
    summary: "Rules of the shared dictionary, each with the end of its chain",
    verb: "dict list",
    query: DictionaryListQuery,
    data: page("rules", DictionaryRuleView),
    handler: async ({ query }, { deps }) => {
      const rules = await deps.dictionary.list(query.namespace);
      const wanted = query.token === undefined ? rules : rules.filter((rule) => rule.token === query.token);
      const cut = cutPage(wanted, (rule) => JSON.stringify([rule.namespace, rule.token]), query);
      return { rules: cut.items, count: cut.items.length, next_cursor: cut.next_cursor };
    },
  }),
  route({
    name: "dictionary.propose",
    method: "POST",
    path: "/api/shared_dict/propose",
    scope: "admin",
    summary: "Say that in a namespace a token means a value",
    verb: "dict propose",
    body: DictionaryProposeBody,
    data: DictionaryProposed,
    handler: ({ body }, { deps, caller }) => deps.dictionary.propose(body, caller.actor),
  }),
  route({
    name: "dictionary.remove",
    method: "POST",
    path: "/api/shared_dict/remove",
    scope: "admin",
    summary: "Take the rule of a token away",
    verb: "dict remove",
    body: DictionaryRemoveBody,
    data: DictionaryRemoved,
    handler: ({ body }, { deps, caller }) => deps.dictionary.remove(body, caller.actor),
  }),
] as const;

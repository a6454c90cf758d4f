import type { JsonObject, JsonValue } from "@rumi/core";
import type { HandlerScope, KernelHandler } from "@rumi/flow-engine";
import type { SharedDictionary } from "@rumi/vocabulary";
import { refuseFaults, textFaults, textOf } from "./handler-args.ts";

export interface DictionaryHandlerDeps {
  readonly dictionary: Pick<SharedDictionary, "resolve" | "explain" | "list" | "propose" | "remove">;
}

/** `kernel:shared_dict.*`: reading is open to every flow, changing it is the operator's. A refusal is a value, not a failure. */
export function dictionaryKernelHandlers({ dictionary }: DictionaryHandlerDeps): KernelHandler[] {
  const handler = (
    name: KernelHandler["name"],
    kind: KernelHandler["kind"],
    [needed, optional]: readonly [readonly string[], readonly string[]],
    act: (word: (name: string) => string, args: JsonObject, scope: HandlerScope) => JsonValue | Promise<JsonValue>,
  ): KernelHandler => ({
    name,
    kind,
    checkArgs: (args) => textFaults(args, needed, optional),
    run(args, scope) {
      refuseFaults(textFaults(args, needed, optional));
      return act((each) => textOf(args, each) ?? "", args, scope);
    },
  });
  return [
    handler("kernel:shared_dict.resolve", "open", [["namespace", "token"], []], (word) => ({
      ...dictionary.resolve(word("namespace"), word("token")),
    })),
    handler("kernel:shared_dict.explain", "open", [["namespace", "token"], []], (word) => {
      const { path, ...rest } = dictionary.explain(word("namespace"), word("token"));
      return { ...rest, path: [...path] };
    }),
    handler("kernel:shared_dict.list", "open", [[], ["namespace", "token"]], (_, args) => {
      const token = textOf(args, "token");
      return dictionary
        .list(textOf(args, "namespace") ?? undefined)
        .filter((rule) => token === null || rule.token === token)
        .map((rule) => ({ ...rule }));
    }),
    handler("kernel:shared_dict.propose", "operator", [["namespace", "token", "value"], []], async (word, _, scope) => ({
      ...(await dictionary.propose({ namespace: word("namespace"), token: word("token"), value: word("value") }, actorOf(scope))),
    })),
    handler("kernel:shared_dict.remove", "operator", [["namespace", "token"], ["value"]], async (word, args, scope) => ({
      ...(await dictionary.remove(
        { namespace: word("namespace"), token: word("token"), value: textOf(args, "value") ?? undefined },
        actorOf(scope),
      )),
    })),
  ];
}

function actorOf(scope: HandlerScope): string {
  return `flow:${scope.flow_id}`;
}

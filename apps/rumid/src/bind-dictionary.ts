import type { DictionaryPort } from "@rumi/api";
import { VocabularyError } from "@rumi/vocabulary";
import type { Proposed, Removed, SharedDictionary } from "@rumi/vocabulary";

/** Characters of a word that an error repeats. */
const MAX_SHOWN_CHARS = 256;

/** The dictionary as the API asks it: what it refuses is an error with the code of its result. */
export function bindDictionary(dictionary: Pick<SharedDictionary, "list" | "propose" | "remove" | "resolve">): DictionaryPort {
  return {
    list: (namespace) =>
      dictionary.list(namespace).map((rule) => {
        const { value, hops } = dictionary.resolve(rule.namespace, rule.token);
        return { ...rule, resolved: value, hops };
      }),
    async propose(rule, actor) {
      const { result, reason, ...answer } = await dictionary.propose(rule, actor);
      if (result === "accepted") return { ...answer, result };
      throw refusal(result, reason ?? result, answer);
    },
    async remove(ask, actor) {
      const { result, ...answer } = await dictionary.remove(ask, actor);
      if (result === "removed") return { ...answer, result };
      throw refusal(result, "there is no such rule", answer);
    },
  };
}

function refusal(
  result: Exclude<(Proposed | Removed)["result"], "accepted" | "removed">,
  reason: string,
  { namespace, token }: { readonly namespace: string; readonly token: string },
): VocabularyError {
  const details = { namespace: namespace.slice(0, MAX_SHOWN_CHARS), token: token.slice(0, MAX_SHOWN_CHARS) };
  return new VocabularyError(`dict.${result}`, reason, { details });
}

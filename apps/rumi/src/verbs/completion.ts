import type { Command } from "commander";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import type { Act } from "../verb.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** `rumi completion bash|zsh|fish`: a script of all verbs; ids are asked of the API. */
export function addCompletionVerb(program: Command, act: Act): void {
  act(
    program.command("completion <shell> [noun]").description("a script that completes verbs and ids: bash, zsh or fish"),
    async (session, [shell = "", noun = ""]) => {
      if (shell === "ids") return await showIds(session, noun);
      const known = SHELLS.find((item) => item === shell);
      if (known === undefined) throw new UsageError(session.say("completion.bad_shell"));
      return session.local({ shell: known, script: scriptOf(known, verbsOf(program)) }, ({ script }) => {
        session.line(script);
      });
    },
  );
}

/** Words after `rumi` by what comes before them: `""` gives the nouns, a noun its verbs. */
function verbsOf(program: Command): ReadonlyMap<string, readonly string[]> {
  const names = (command: Command): string[] => command.commands.flatMap((child) => [child.name(), ...child.aliases()]);
  const verbs = new Map<string, readonly string[]>([["", names(program)]]);
  for (const noun of program.commands) {
    if (noun.commands.length > 0) for (const name of [noun.name(), ...noun.aliases()]) verbs.set(name, names(noun));
  }
  return verbs;
}

function scriptOf(shell: (typeof SHELLS)[number], verbs: ReadonlyMap<string, readonly string[]>): string {
  if (shell === "fish") {
    const lines = [`complete -c rumi -f`, `complete -c rumi -n "__fish_use_subcommand" -a "${(verbs.get("") ?? []).join(" ")}"`];
    for (const [noun, words] of verbs) {
      if (noun === "") continue;
      const chosen = `__fish_seen_subcommand_from ${noun}`;
      const verb = `__fish_seen_subcommand_from ${words.join(" ")}`;
      lines.push(`complete -c rumi -n "${chosen}; and not ${verb}" -a "${words.join(" ")}"`);
      lines.push(`complete -c rumi -n "${chosen}; and ${verb}" -a "(rumi completion ids ${noun} 2>/dev/null)"`);
    }
    return lines.join("\n");
  }
  const cases = [...verbs].map(([noun, words]) => `    "${noun}") words="${words.join(" ")}" ;;`);
  const script = [
    "_rumi() {",
    '  local current="${COMP_WORDS[COMP_CWORD]}" noun="" words=""',
    '  [ "$COMP_CWORD" -ge 2 ] && noun="${COMP_WORDS[1]}"',
    '  case "$noun" in',
    ...cases,
    "  esac",
    '  [ "$COMP_CWORD" -ge 3 ] && words="$(rumi completion ids "$noun" 2>/dev/null)"',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "}",
    "complete -F _rumi rumi",
  ].join("\n");
  return shell === "zsh" ? `autoload -U +X bashcompinit && bashcompinit\n${script}` : script;
}

/** Ids of one noun, one a line; nothing when the daemon does not answer. */
async function showIds(session: Session, noun: string): Promise<number> {
  const ids = await idsOf(session, noun.replace(/s$/u, ""));
  return session.local({ ids }, (data) => {
    for (const id of data.ids) session.line(id);
  });
}

async function idsOf(session: Session, noun: string): Promise<readonly string[]> {
  const query = { limit: 1000 };
  try {
    if (["pack", "container", "grant", "network", "privilege"].includes(noun)) {
      const answer = await session.client.call("packs.list", { query });
      return answer.ok ? plain(answer.data.packs.map((item) => item.pack_id)) : [];
    }
    if (noun === "flow" || noun === "schedule") {
      const answer = await session.client.call("flows.list", { query });
      return answer.ok ? plain(answer.data.flows.map((item) => item.flow_id)) : [];
    }
    if (noun === "modifier") {
      const answer = await session.client.call("modifiers.list", { query });
      return answer.ok ? plain([...new Set(answer.data.modifiers.map((item) => item.modifier_id))]) : [];
    }
    if (noun === "run") {
      const answer = await session.client.call("runs.list", { query });
      return answer.ok ? plain(answer.data.runs.map((item) => item.run_id)) : [];
    }
    if (noun === "secret") {
      const answer = await session.client.call("secrets.list", { query });
      return answer.ok ? plain(answer.data.secrets.filter((item) => !item.deleted).map((item) => item.key)) : [];
    }
    if (noun === "store") {
      const answer = await session.client.call("stores.list", { query });
      return answer.ok ? plain(answer.data.stores.map((item) => item.store_id)) : [];
    }
    if (noun === "dict") {
      const answer = await session.client.call("dictionary.list", { query });
      return answer.ok ? plain([...new Set(answer.data.rules.map((rule) => rule.namespace))]) : [];
    }
    if (noun === "lib") {
      const answer = await session.client.call("libs.list", { query });
      return answer.ok ? plain([...new Set(answer.data.records.map((record) => record.pack_id))]) : [];
    }
    if (noun === "token") {
      const answer = await session.client.call("tokens.list");
      return answer.ok ? plain(answer.data.tokens.map((item) => item.id)) : [];
    }
  } catch {
    return [];
  }
  return [];
}

/** Only ids a shell can take as they are. */
function plain(ids: readonly string[]): readonly string[] {
  return ids.filter((id) => /^[\w.-]{1,160}$/u.test(id));
}

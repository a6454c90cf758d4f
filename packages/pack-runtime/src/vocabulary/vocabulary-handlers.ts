import type { JsonObject, JsonValue, PackId } from "@rumi/core";
import type { HandlerScope, KernelHandler } from "@rumi/flow-engine";
import { ownPack, refuseFaults, textFaults, textOf } from "./handler-args.ts";
import type { PackConverters } from "./pack-converters.ts";
import type { PackVocabFacts, VocabularyCatalog } from "./vocabulary-catalog.ts";

export interface VocabularyHandlerDeps {
  readonly catalog: Pick<VocabularyCatalog, "facts">;
  readonly converters: Pick<PackConverters, "convert">;
}

/** `kernel:vocab.*`: what a pack's own words are, and its own converters. The system's steps name the pack. */
export function vocabularyKernelHandlers(deps: VocabularyHandlerDeps): KernelHandler[] {
  const look = (name: KernelHandler["name"], show: (facts: PackVocabFacts | undefined, pack: PackId) => JsonValue): KernelHandler => ({
    name,
    kind: "open",
    checkArgs: (args) => textFaults(args, [], ["pack_id"]),
    run(args, scope) {
      refuseFaults(textFaults(args, [], ["pack_id"]));
      const pack = ownPack(args, scope.principal);
      return show(deps.catalog.facts(pack), pack);
    },
  });
  return [
    look("kernel:vocab.list_groups", (facts) =>
      (facts?.vocab.groups ?? []).map(({ preferred, terms }) => ({ preferred, terms: [...terms] })),
    ),
    look("kernel:vocab.list_converters", (facts) => (facts?.converters ?? []).map(({ from, to, file }) => ({ from, to, file }))),
    look("kernel:vocab.summary", (facts, pack) => ({
      pack_id: pack,
      uses_vocab: facts?.uses_vocab ?? false,
      groups: facts?.vocab.groups.length ?? 0,
      terms: facts?.vocab.preferred.size ?? 0,
      converters: facts?.converters.length ?? 0,
      problems: facts?.vocab.problems.length ?? 0,
    })),
    { name: "kernel:vocab.convert", kind: "open", checkArgs: convertFaults, run: (args, scope) => convert(deps.converters, args, scope) },
  ];
}

function convertFaults(args: JsonObject): string[] {
  return [...textFaults(args, ["from_term", "to_term"], ["pack_id"]), ...(args["data"] === undefined ? ["data must be given"] : [])];
}

async function convert(converters: Pick<PackConverters, "convert">, args: JsonObject, scope: HandlerScope): Promise<JsonValue> {
  refuseFaults(convertFaults(args));
  const term = (name: string): string => (textOf(args, name) ?? "").trim().toLowerCase();
  const { ctx: _ctx, signal, ...step } = scope;
  const ask = { pack: ownPack(args, scope.principal), from: term("from_term"), to: term("to_term"), data: args["data"] ?? null };
  return { ...(await converters.convert({ ...ask, scope: step }, signal)) };
}

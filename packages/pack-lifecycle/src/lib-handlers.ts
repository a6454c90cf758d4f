import { PackId, RumiError } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import { FlowError } from "@rumi/flow-engine";
import type { HandlerScope, KernelHandler } from "@rumi/flow-engine";
import * as v from "valibot";
import { LIB_TYPES } from "./lib-files.ts";
import type { LibType } from "./lib-files.ts";
import type { LibOutcome, LibRuns } from "./lib-runs.ts";

/** Characters of an error in the summary of all packs. */
const MAX_TOLD_CHARS = 300;

export interface LibHandlerDeps {
  readonly libs: Pick<LibRuns, "processAll" | "check" | "execute" | "clearRecord" | "listRecords">;
}

/**
 * `kernel:lib.*`, for the operator's flows. `process_all` tells what became of each pack and never fails; `execute` fails as its run does.
 */
export function libKernelHandlers({ libs }: LibHandlerDeps): KernelHandler[] {
  const handler = (
    name: KernelHandler["name"],
    named: Named,
    act: (args: JsonObject, signal: AbortSignal) => Promise<JsonValue>,
  ): KernelHandler => ({
    name,
    kind: "operator",
    checkArgs: (args) => faults(args, named),
    run(args, scope: HandlerScope) {
      const [fault] = faults(args, named);
      if (fault !== undefined) throw new FlowError("kernel.invalid_args", fault);
      return act(args, scope.signal);
    },
  });
  return [
    handler("kernel:lib.process_all", "nothing", async (_, signal) => summary(await libs.processAll(signal))),
    handler("kernel:lib.check", "pack", async (args) => plain(await libs.check(packOf(args)))),
    handler("kernel:lib.execute", "pack_and_type", async (args, signal) => {
      const outcome = await libs.execute(packOf(args), (args["lib_type"] ?? null) as LibType | null, signal);
      if (outcome.code === null) return plain(outcome);
      throw new RumiError(outcome.code, outcome.error ?? "the lib failed");
    }),
    handler("kernel:lib.clear_record", "pack", async (args) => ({ cleared: await libs.clearRecord(packOf(args)) })),
    handler("kernel:lib.list_records", "maybe_pack", async (args) => {
      const records = await libs.listRecords();
      const pack = args["pack_id"] ?? null;
      return records.filter((record) => pack === null || record.pack_id === pack).map((record) => ({ ...record }));
    }),
  ];
}

/** What the arguments of a handler name. */
type Named = "nothing" | "pack" | "maybe_pack" | "pack_and_type";

function faults(args: JsonObject, named: Named): string[] {
  const pack = args["pack_id"] ?? null;
  const type = args["lib_type"] ?? null;
  const found: string[] = [];
  if (pack === null ? named === "pack" || named === "pack_and_type" : named !== "nothing" && !v.is(PackId, pack)) {
    found.push("pack_id must name a pack");
  }
  if (named === "pack_and_type" && type !== null && !LIB_TYPES.some((one) => one === type)) found.push("lib_type is install or update");
  return found;
}

function packOf(args: JsonObject): PackId {
  return args["pack_id"] as PackId;
}

/** How many packs ended how, and those of which there is something to say: the value stays small with many packs. */
function summary(outcomes: readonly LibOutcome[]): JsonObject {
  const counts: Record<string, number> = {};
  for (const { result } of outcomes) counts[result] = (counts[result] ?? 0) + 1;
  const told = outcomes.filter(({ result }) => result !== "none" && result !== "skipped");
  return {
    counts,
    packs: told.map(({ pack_id, lib_type, result, code, error }) => ({
      pack_id,
      lib_type,
      result,
      code,
      error: error?.slice(0, MAX_TOLD_CHARS).toWellFormed() ?? null,
    })),
  };
}

function plain(outcome: LibOutcome): JsonObject {
  return { ...outcome, log: [...outcome.log] };
}

import type { LibsPort } from "@rumi/api";
import type { AuditSink, PackId } from "@rumi/core";
import type { LibOutcome, LibRuns } from "@rumi/pack-lifecycle";

/** The libs of packs as the API asks for them. Runs audit themselves; that a record was cleared is on disk before it is. */
export function bindLibs({
  libs,
  audit,
}: {
  readonly libs: Pick<LibRuns, "listRecords" | "clearRecord" | "process" | "processAll">;
  readonly audit: AuditSink;
}): LibsPort {
  return {
    list: () => libs.listRecords(),
    async clear(packId, actor) {
      await audit.record({ category: "system", action: "lib_clear", success: true, owner_pack: packId, details: { actor } });
      return await libs.clearRecord(packId as PackId);
    },
    async process(packId) {
      const outcomes = packId === undefined ? await libs.processAll() : [await libs.process(packId as PackId)];
      return outcomes.map(endOf);
    },
  };
}

function endOf({ pack_id, lib_type, result, code, error, duration_ms }: LibOutcome) {
  // Only a check says that something is due.
  return { pack_id, lib_type, result: result === "due" ? ("none" as const) : result, code, error, duration_ms };
}

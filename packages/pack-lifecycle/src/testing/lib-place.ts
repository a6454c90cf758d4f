import { join } from "node:path";
import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import { MIB, systemClock, systemRandom } from "@rumi/core";
import { MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import { ensureFolder } from "@rumi/safe-files";
import type { InstanceLimits, Runtime, Sandbox } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { LibRuns } from "../lib-runs.ts";

const LIMITS: InstanceLimits = { memory_bytes: 256 * MIB, cpus: 1, pids: 128, tmp_bytes: 64 * MIB };

/** Approved packs in a folder of their own, and their libs in a given sandbox. */
export interface LibPlace extends AsyncDisposable {
  readonly home: TestApprovals;
  readonly libs: LibRuns;
  readonly audit: MemoryAudit;
  readonly diagnostics: MemoryDiagnostics;
  readonly recordsFile: string;
  /** A pack's `/data` on the host. */
  data(pack: string): string;
  /** Puts a pack in place and approves it. */
  approve(pack: string, files: Readonly<Record<string, string>>, manifest?: object): Promise<void>;
  /** The same folders under a new start. */
  again(): LibRuns;
}

export interface LibPlaceOptions {
  /** Makes the sandbox once the home is there. */
  readonly sandbox: (folder: string, userData: string) => Promise<Sandbox> | Sandbox;
  readonly admit?: (runtime: Runtime) => Promise<void>;
  readonly redact?: (text: string) => string;
  readonly watchMs?: number;
}

export async function openLibPlace(options: LibPlaceOptions): Promise<LibPlace> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.use(await temporaryFolder("rumi-lib-"));
  const home = opening.use(await openTestApprovals(folder.path));
  const sandbox = opening.use(await options.sandbox(folder.path, home.userData));
  const audit = new MemoryAudit();
  const diagnostics = new MemoryDiagnostics();
  const recordsFile = join(home.userData, "settings", "lib_execution_records.json");
  await ensureFolder(join(home.userData, "settings"));
  const again = (): LibRuns =>
    new LibRuns(
      {
        approvals: home.approvals,
        gate: home.approvals,
        sandbox,
        admit: options.admit ?? (() => Promise.resolve()),
        audit,
        diagnostics,
        clock: systemClock,
        random: systemRandom,
        logger: silentLogger,
        ...(options.redact === undefined ? {} : { redact: options.redact }),
      },
      { userData: home.userData, recordsFile, limits: LIMITS, ...(options.watchMs === undefined ? {} : { watchMs: options.watchMs }) },
    );
  const libs = opening.use(again());
  const kept = opening.move();
  return {
    home,
    libs,
    audit,
    diagnostics,
    recordsFile,
    again,
    data: (pack) => join(home.userData, "packs", pack, "data"),
    approve: async (pack, files, manifest = {}) => {
      const ecosystem = JSON.stringify({ pack_id: pack, pack_identity: `github:author/${pack}`, ...manifest });
      await home.putPack(pack, { "ecosystem.json": ecosystem, ...files });
      await home.approvals.approve(pack, { actor: "test" });
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

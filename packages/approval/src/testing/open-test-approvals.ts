import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemClock } from "@rumi/core";
import type { AuditEvent } from "@rumi/core";
import { MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import { Keyring, SignedFiles } from "@rumi/safe-files";
import { PackApprovals } from "../pack-approvals.ts";
import type { PackApprovalsDeps, PackApprovalsOptions } from "../pack-approvals.ts";
import { FakeReviewReader } from "./fake-review-reader.ts";

/** Approvals over a real home folder, started, with everything else in memory. */
export interface TestApprovals extends AsyncDisposable {
  readonly approvals: PackApprovals;
  readonly audit: MemoryAudit;
  readonly diagnostics: MemoryDiagnostics;
  readonly signed: SignedFiles;
  readonly ecosystem: string;
  readonly userData: string;
  /** Audit actions of one category, in order. */
  actions(category: AuditEvent["category"]): string[];
  /** Writes files of a pack under `ecosystem/`; a manifest is made unless one is given. */
  putPack(id: string, files: Readonly<Record<string, string>>): Promise<string>;
}

/** Opens the home in `folder`, making it at first. Open it again after disposal to see a restart. */
export async function openTestApprovals(
  folder: string,
  options: PackApprovalsOptions & { readonly deps?: Partial<PackApprovalsDeps> } = {},
): Promise<TestApprovals> {
  const ecosystem = join(folder, "ecosystem");
  const userData = join(folder, "user_data");
  await mkdir(ecosystem, { recursive: true });
  await mkdir(join(userData, "permissions"), { recursive: true, mode: 0o700 });
  const keyring = await Keyring.open(join(userData, "permissions", ".secret_key"));
  const signed = new SignedFiles({ keyring, indexPath: join(userData, "permissions", "revisions.json") });
  await signed.load();
  const audit = new MemoryAudit();
  const diagnostics = new MemoryDiagnostics();
  const { deps, ...rest } = options;
  const approvals = new PackApprovals(
    {
      ecosystemFolder: ecosystem,
      userData,
      signed,
      audit,
      diagnostics,
      clock: systemClock,
      reviewReader: new FakeReviewReader(),
      logger: silentLogger,
      ...deps,
    },
    rest,
  );
  await approvals.start();
  return {
    approvals,
    audit,
    diagnostics,
    signed,
    ecosystem,
    userData,
    actions: (category) => audit.events.filter((event) => event.category === category).map((event) => event.action),
    putPack: async (id, files) => {
      const root = join(ecosystem, id);
      const manifest = { "ecosystem.json": JSON.stringify({ pack_id: id, pack_identity: `github:author/${id}` }) };
      const all = Object.keys(files).some((path) => path.endsWith("ecosystem.json")) ? files : { ...manifest, ...files };
      for (const [path, text] of Object.entries(all)) {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), text);
      }
      return root;
    },
    [Symbol.asyncDispose]: () => approvals[Symbol.asyncDispose](),
  };
}

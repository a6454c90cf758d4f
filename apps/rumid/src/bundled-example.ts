import { cp, readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { PackApprovals } from "@rumi/approval";
import type { Digest, FlowId, JsonObject } from "@rumi/core";
import { writeFileAtomic } from "@rumi/safe-files";
import type { HomePaths } from "./home.ts";

/** The one pack that comes with the installation, and the flow that shows it. */
export const BUNDLED_EXAMPLE = {
  pack_id: "my_pack",
  /** Digest of the tree in `examples/packs/my_pack`; nothing else is ever approved by itself. */
  digest: "sha256:799f56b446974bea86fa19816f8e43e6f800a58ef3260b4d8ff7aeeef4694f8e" as Digest,
  flow_id: "hello" as FlowId,
  flow_file: "hello.flow.yaml",
  inputs: { name: "World" } satisfies JsonObject,
} as const;

/** True for a home in which nothing was ever decided and no other pack lies. */
export async function isFreshHome(paths: HomePaths, installationRoot: string): Promise<boolean> {
  const records = await readdir(join(paths.permissions, "approvals")).catch(() => []);
  if (records.some((name) => name.endsWith(".json"))) return false;
  const packs = await readdir(paths.ecosystem).catch(() => []);
  if (packs.some((name) => !name.startsWith(".") && name !== BUNDLED_EXAMPLE.pack_id)) return false;
  return isThere(join(installationRoot, "examples", "packs", BUNDLED_EXAMPLE.pack_id));
}

/** Copies the example pack and its flow into the home; what is there already stays as it is. */
export async function copyBundledExample(paths: HomePaths, installationRoot: string): Promise<void> {
  const examples = join(installationRoot, "examples");
  const pack = join(paths.ecosystem, BUNDLED_EXAMPLE.pack_id);
  if (!(await isThere(pack))) await cp(join(examples, "packs", BUNDLED_EXAMPLE.pack_id), pack, { recursive: true, errorOnExist: true });
  const flow = join(paths.sharedFlows, BUNDLED_EXAMPLE.flow_file);
  if (!(await isThere(flow))) await writeFileAtomic(flow, await readFile(join(examples, "flows", BUNDLED_EXAMPLE.flow_file)));
}

/** Approves exactly the recorded bytes. Answers why not, when they are not those, or null. */
export async function approveBundledExample(approvals: Pick<PackApprovals, "approveBundled">): Promise<string | null> {
  try {
    await approvals.approveBundled(BUNDLED_EXAMPLE.pack_id, BUNDLED_EXAMPLE.digest);
    return null;
  } catch (cause) {
    return cause instanceof Error ? cause.message : "it was refused";
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

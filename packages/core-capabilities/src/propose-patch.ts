import { isListed } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import { PackId } from "@rumi/core";
import type { Clock, Random } from "@rumi/core";
import { SafeFilesError } from "@rumi/safe-files";
import type { SignedFiles, TreeListing } from "@rumi/safe-files";
import * as v from "valibot";
import { numberOf } from "./allow-list.ts";
import { defineCapability } from "./define-capability.ts";
import type { TypedUse } from "./define-capability.ts";
import { denied, done, failed } from "./outcome.ts";
import { PackStaging, StagingRefusal } from "./pack-staging.ts";
import type { ApprovedPacks } from "./ports.ts";

/** Bytes of all contents where the grant says nothing, and the files of one proposal. Source: page "Trust", section 8. */
const MAX_TOTAL_BYTES = 1024 * 1024;
const MAX_CHANGES = 100;

const FilePath = v.pipe(
  v.string(),
  v.check((path) => isTreePath(path), "file_path is a relative path of a pack, without empty, . or .. segments, \\ or control characters"),
);
const Args = v.strictObject({
  target_pack_id: PackId,
  changes: v.pipe(
    v.array(
      v.strictObject({
        file_path: FilePath,
        content: v.pipe(
          v.string(),
          v.check((text) => text.isWellFormed(), "content is well-formed text"),
        ),
        sha256_before: v.nullish(v.pipe(v.string(), v.regex(/^(?:sha256:)?[0-9a-f]{64}$/u, "sha256_before is 64 hex digits"))),
      }),
    ),
    v.minLength(1, "changes: 1 to 100"),
    v.maxLength(MAX_CHANGES, "changes: 1 to 100"),
    v.check((changes) => new Set(changes.map((change) => change.file_path)).size === changes.length, "changes: a file stands twice"),
  ),
  notes: v.nullish(v.pipe(v.string(), v.maxLength(2_000))),
});
type Args = v.InferOutput<typeof Args>;

export interface ProposePatchDeps {
  readonly approvals: ApprovedPacks;
  readonly signed: SignedFiles;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * `code.propose_patch`: a copy of another pack's approved bytes with some files changed, put into the staging area for an
 * operator to look at. It applies nothing and approves nothing.
 */
export function proposePatch(deps: ProposePatchDeps, userData: string): Capability {
  const staging = new PackStaging(deps, userData);
  return defineCapability("code.propose_patch", {
    aliases: ["pack.update.propose_patch"],
    args: Args,
    outside: ({ args, config }) => {
      if (!isListed(config, "allowed_target_packs", args.target_pack_id)) return `the grant does not name the pack ${args.target_pack_id}`;
      const foreign = args.changes.find((change) => !isListed(config, "allowed_paths", change.file_path));
      return foreign === undefined ? null : `the grant does not name the path ${foreign.file_path}`;
    },
    run: (use) => propose(deps, staging, use),
  });
}

async function propose(
  deps: ProposePatchDeps,
  staging: PackStaging,
  { args, config, caller, signal }: TypedUse<Args>,
): Promise<CapabilityOutcome> {
  const totalBytes = args.changes.reduce((sum, change) => sum + Buffer.byteLength(change.content), 0);
  const most = numberOf(config, "max_payload_bytes", MAX_TOTAL_BYTES);
  if (totalBytes > most) return failed("payload_too_large", `The contents are larger than ${most} bytes together`);
  const target = deps.approvals.gate(args.target_pack_id);
  if (!target.allowed) return denied(`${target.code}: ${target.reason}`);
  const moved = args.changes.find((change) => !isExpected(target.listing, change));
  if (moved !== undefined) return failed("hash_mismatch", `${moved.file_path} is not what sha256_before says`);
  try {
    const id = await staging.stage(target, { changes: args.changes, actor: caller.principal, notes: args.notes ?? "" }, signal);
    return done({ staging_id: id, changed_paths: args.changes.map((change) => change.file_path), total_bytes: totalBytes });
  } catch (cause) {
    if (cause instanceof StagingRefusal) return failed(cause.errorType, cause.message);
    // The tree's own rules: paths that collide, folders that are files. Their message names paths of the proposal alone.
    if (cause instanceof SafeFilesError && cause.code === "safe_files.tree_unsafe") return failed("validation_error", cause.message);
    throw cause;
  }
}

/** Whether the approved bytes of the file are those that the proposal was made from; any, where it names none. */
function isExpected(listing: TreeListing, change: Args["changes"][number]): boolean {
  const wanted = change.sha256_before ?? null;
  if (wanted === null) return true;
  const entry = listing.entries.find((candidate) => candidate.path === change.file_path);
  return entry?.type === "f" && bareHex(entry.sha256) === bareHex(wanted);
}

function bareHex(hash: string): string {
  return hash.replace(/^sha256:/u, "");
}

/** The rules of a pack's tree, by the words of the path alone. Source: page "Trust", section 5. */
function isTreePath(path: string): boolean {
  if (Buffer.byteLength(path) > 1024 || path.normalize("NFC") !== path || /[\p{Cc}\\]/u.test(path)) return false;
  const segments = path.split("/");
  return (
    segments.length <= 32 &&
    segments.every(
      (segment) => segment !== "" && segment !== "." && segment !== ".." && Buffer.byteLength(segment) <= 255 && !/[ .]$/u.test(segment),
    )
  );
}

import { join } from "node:path";
import { isListed } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import { createRunId, findForbiddenKey, isJsonObject, isoTime, PackId } from "@rumi/core";
import type { Clock, JsonObject, JsonValue, Random } from "@rumi/core";
import { readJsonFile } from "@rumi/safe-files";
import type { ApprovedPack } from "@rumi/approval";
import * as v from "valibot";
import { AddonPolicy } from "@rumi/pack-manifest";
import { editablePrefixes } from "./addon-policy.ts";
import { numberOf } from "./allow-list.ts";
import { defineCapability } from "./define-capability.ts";
import type { TypedUse } from "./define-capability.ts";
import { InboxFolder } from "./inbox-folder.ts";
import { checkPatch } from "./json-pointer.ts";
import { done, failed } from "./outcome.ts";
import type { ApprovedPacks } from "./ports.ts";

/** Largest payload where the grant says nothing. Source: page "Trust", section 8. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
const MAX_OPS = 1_000;

const Patch = v.pipe(v.array(v.custom<JsonValue>((op) => op !== undefined)), v.minLength(1), v.maxLength(MAX_OPS));
const File = v.pipe(
  v.string(),
  v.maxLength(512),
  v.check((path) => isComponentPath(path), "file is a relative path below the component's folder"),
);
const Payload = v.variant("kind", [
  v.strictObject({ kind: v.literal("manifest_json_patch"), patch: Patch }),
  v.strictObject({ kind: v.literal("file_json_patch"), file: File, patch: Patch }),
  v.strictObject({
    kind: v.literal("file_replace_json"),
    file: File,
    json: v.custom<JsonValue>((json) => json !== undefined, "json is required"),
  }),
]);
type Payload = v.InferOutput<typeof Payload>;

const Args = v.strictObject({
  to_pack_id: PackId,
  target_component: v.strictObject({
    type: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
    id: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,127}$/u)),
  }),
  payload: Payload,
  priority: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(-1_000_000), v.maxValue(1_000_000))),
  notes: v.nullish(v.pipe(v.string(), v.maxLength(2_000))),
});
type Args = v.InferOutput<typeof Args>;

export interface InboxSendDeps {
  readonly approvals: ApprovedPacks;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * `pack.inbox.send`: puts a proposed change where another pack reads it, if the component it is for lets it. Nothing is
 * changed by it: the receiver does with it what it likes.
 */
export function inboxSend(deps: InboxSendDeps, userData: string): Capability {
  const inboxes = new InboxFolder(userData);
  return defineCapability("pack.inbox.send", {
    aliases: ["inbox.send"],
    args: Args,
    outside: ({ args, config }) => {
      if (!isListed(config, "allowed_target_packs", args.to_pack_id)) return `the grant does not name the pack ${args.to_pack_id}`;
      return isListed(config, "allowed_kinds", args.payload.kind) ? null : `the grant does not name the kind ${args.payload.kind}`;
    },
    run: (use) => send(deps, inboxes, use),
  });
}

async function send(deps: InboxSendDeps, inboxes: InboxFolder, { args, config, caller }: TypedUse<Args>): Promise<CapabilityOutcome> {
  const most = numberOf(config, "max_payload_bytes", MAX_PAYLOAD_BYTES);
  if (Buffer.byteLength(JSON.stringify(args.payload)) > most)
    return failed("payload_too_large", `The payload is larger than ${most} bytes`);
  if (args.payload.kind === "file_replace_json" && findForbiddenKey(args.payload.json) !== null) {
    return failed("validation_error", "payload.json: holds a key that is not allowed");
  }
  const receiver = deps.approvals.gate(args.to_pack_id);
  if (!receiver.allowed) return policyDenied(`${receiver.code}: ${receiver.reason}`);
  const policy = await readPolicy(receiver, args.target_component);
  if (policy === null) return policyDenied(`component ${args.target_component.id} has no addon_policy that is in order`);
  if (policy.deny_all) return policyDenied(`the addon_policy of ${args.target_component.id} denies everything`);
  const kept = keep(args.payload, policy);
  if (!kept.ok) return policyDenied(kept.reason);
  const messageId = `msg_${createRunId(deps.clock, deps.random).slice("run_".length)}`;
  const message = JSON.stringify({
    message_id: messageId,
    ts: isoTime(deps.clock.now()),
    from_pack_id: caller.principal,
    to_pack_id: args.to_pack_id,
    target_component: args.target_component,
    payload: kept.payload,
    priority: args.priority ?? 0,
    notes: args.notes ?? "",
    rejected_ops: kept.rejected,
  });
  const stored = await inboxes.put(args.to_pack_id, messageId, message);
  if (!stored) return failed("quota_exceeded", "The inbox is full");
  return done({ message_id: messageId, rejected_ops: kept.rejected });
}

function policyDenied(reason: string): CapabilityOutcome {
  return failed("policy_denied", "The receiver does not allow this", { reason });
}

/** The policy in the receiver's approved bytes; null when there is none that is in order. */
async function readPolicy(receiver: ApprovedPack, target: Args["target_component"]): Promise<AddonPolicy | null> {
  const root = receiver.subdir === "" ? "" : `${receiver.subdir}/`;
  const path = `${root}components/${target.id}/manifest.json`;
  if (!receiver.listing.entries.some((entry) => entry.type === "f" && entry.path === path)) return null;
  const manifest = await readJsonFile(join(receiver.root, path)).catch(() => null);
  if (!isJsonObject(manifest) || manifest["id"] !== target.id || manifest["type"] !== target.type) return null;
  const policy = v.safeParse(AddonPolicy, manifest["addon_policy"]);
  return policy.success ? policy.output : null;
}

type Kept =
  | { readonly ok: true; readonly payload: JsonObject; readonly rejected: number }
  | { readonly ok: false; readonly reason: string };

/** What of the payload lies inside the policy. */
function keep(payload: Payload, policy: AddonPolicy): Kept {
  const prefixes = payload.kind === "manifest_json_patch" ? policy.allowed_manifest_paths : editablePrefixes(policy, payload.file);
  if (payload.kind === "file_replace_json") {
    if (!prefixes.includes("")) return { ok: false, reason: `the whole of ${payload.file} may not be replaced` };
    return { ok: true, payload: { ...payload }, rejected: 0 };
  }
  const checked = checkPatch(payload.patch, prefixes);
  return checked.ok ? { ok: true, payload: { ...payload, patch: checked.ops }, rejected: checked.rejected } : checked;
}

function isComponentPath(path: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused here
  if (path === "" || /[\u0000-\u001f\u007f\\]/u.test(path)) return false;
  return path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

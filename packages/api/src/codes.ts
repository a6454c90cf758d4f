import type { ApprovalErrorCode } from "@rumi/approval";
import type { AuditErrorCode } from "@rumi/audit";
import type { CapabilityErrorCode } from "@rumi/capability";
import type { EgressErrorCode } from "@rumi/egress";
import type { FlowErrorCode, FlowLoadCode } from "@rumi/flow-engine";
import type { SafeFilesErrorCode } from "@rumi/safe-files";
import type { SandboxErrorCode, SandboxOutcomeCode } from "@rumi/sandbox";
import type { SecretsErrorCode } from "@rumi/secrets";
import type { StoreErrorCode } from "@rumi/store";
import type { VocabularyErrorCode } from "@rumi/vocabulary";
import type { ApiErrorCode } from "./errors.ts";
import { LOAD_CODES } from "./load-codes.ts";

/** What HTTP makes of a code, and what an operator can type. `{name}` holes are filled from the error's details. */
export interface CodeEntry {
  readonly status: number;
  /** Whether the same request may succeed later without any change. */
  readonly retryable: boolean;
  /** The one command that would allow or mend it; null with the reason why there is none. */
  readonly remedy: string | null;
  readonly why?: string;
}

function remedy(status: number, command: string, retryable = false): CodeEntry {
  return { status, retryable, remedy: command };
}

function none(status: number, why: string, retryable = false): CodeEntry {
  return { status, retryable, remedy: null, why };
}

const FIX_REQUEST = "the request itself has to change";
const FIX_PACK = "the pack's author has to change its files";
const FIX_FLOW = "the flow's author has to change its file";
const DEFECT = "a defect; the audit log holds the detail";
const TRY_AGAIN = "passes by itself; the answer says when to try again";

/** Every code of the packages below this one, but those of flow files, which have one status together. */
export type PackageCode =
  | ApiErrorCode
  | ApprovalErrorCode
  | AuditErrorCode
  | CapabilityErrorCode
  | EgressErrorCode
  | Exclude<FlowErrorCode, FlowLoadCode>
  | SafeFilesErrorCode
  | SandboxErrorCode
  | SandboxOutcomeCode
  | SecretsErrorCode
  | StoreErrorCode
  | VocabularyErrorCode;

/**
 * Every code that can reach an answer: its status, whether to try again, and its remedy. A code of a package without a line
 * here does not compile. Source: page 40 section 1, page 10 section 16, page 20 section 16.
 */
export const CODES = {
  internal: none(500, DEFECT),

  "request.invalid_json": none(400, FIX_REQUEST),
  "request.invalid": none(400, FIX_REQUEST),
  "request.invalid_id": none(400, FIX_REQUEST),
  "request.bad_length": none(400, FIX_REQUEST),
  "request.too_large": none(413, FIX_REQUEST),
  "request.media_type": none(415, FIX_REQUEST),
  "request.idempotency_mismatch": none(409, FIX_REQUEST),
  "auth.required": remedy(401, "rumi token show"),
  "auth.scope": remedy(403, "rumi token create --scope {scope} NAME"),
  "http.origin_rejected": none(403, "the daemon's setting RUMI_CORS_ORIGINS names allowed origins"),
  "http.host_rejected": none(421, "the daemon's setting RUMI_API_ALLOWED_HOSTS names allowed hosts"),
  "http.not_found": none(404, FIX_REQUEST),
  "http.method": none(405, FIX_REQUEST),
  "http.timeout": none(504, TRY_AGAIN, true),
  "rate.limited": none(429, TRY_AGAIN, true),
  "stream.capacity": none(429, "a stream of this token has to end first", true),
  "token.not_found": remedy(404, "rumi token list"),
  "token.last_admin": remedy(409, "rumi token create --scope admin NAME"),
  "daemon.starting": remedy(503, "rumi status", true),
  "daemon.stopping": remedy(503, "rumi status", true),
  "state.corrupt": remedy(500, "rumi doctor"),
  "storage.full": remedy(507, "rumi doctor"),

  "approval.pack_not_found": remedy(404, "rumi pack list"),
  "approval.not_approved": remedy(403, "rumi pack review {pack_id}"),
  "approval.modified": remedy(403, "rumi pack review {pack_id}"),
  "approval.ancestor_not_approved": remedy(403, "rumi pack review {ancestor}"),
  "approval.rule_not_approved": none(403, "rule packs cannot be approved for others yet"),
  "approval.not_rule_pack": none(400, FIX_REQUEST),
  "approval.disabled": remedy(403, "rumi pack enable {pack_id}"),
  "approval.blocked": remedy(409, "rumi pack approve {pack_id} --unblock"),
  "approval.digest_moved": remedy(409, "rumi pack review {pack_id}"),
  "approval.snapshot_corrupt": remedy(409, "rumi pack review {pack_id}"),
  "approval.tree_unsafe": none(400, FIX_PACK),
  "approval.invalid_pack": none(400, FIX_PACK),

  "pack_manifest.invalid_pack_id": none(400, FIX_PACK),
  "pack_manifest.reserved": none(400, FIX_PACK),
  "pack_manifest.lookalike": none(409, FIX_PACK),
  "pack_manifest.invalid": none(400, FIX_PACK),
  "pack_manifest.id_mismatch": none(400, FIX_PACK),
  "pack_manifest.unmet_requires": none(400, FIX_PACK),
  "pack_manifest.load_cycle": none(400, FIX_PACK),

  "safe_files.tree_unsafe": none(400, FIX_PACK),
  "safe_files.path_escapes": none(400, FIX_REQUEST),
  "safe_files.not_found": none(404, FIX_REQUEST),
  "safe_files.not_a_file": none(400, FIX_PACK),
  "safe_files.not_a_folder": none(400, FIX_PACK),
  "safe_files.too_large": none(413, FIX_PACK),
  "safe_files.invalid_json": none(400, FIX_PACK),
  "safe_files.forbidden_key": none(400, FIX_PACK),
  "safe_files.too_deep": none(400, FIX_PACK),
  "safe_files.target_exists": none(500, DEFECT),
  "safe_files.locked_by": remedy(503, "rumi status"),
  "safe_files.log_failed": remedy(503, "rumi doctor"),
  "safe_files.database_failed": remedy(503, "rumi doctor"),
  "safe_files.record_tampered": remedy(409, "rumi audit verify"),
  "safe_files.key_file_unsafe": remedy(503, "rumi doctor"),
  "safe_files.locked": remedy(503, "rumi doctor"),

  "audit.unavailable": remedy(503, "rumi doctor", true),
  "audit.chain_broken": remedy(409, "rumi audit verify"),

  "capability.permission_denied": remedy(403, "rumi grant add {principal_id} {permission_id}"),
  "capability.trust_denied": none(403, "a pack's own handler is trusted by the approval of its candidate"),
  "capability.slug_taken": none(409, FIX_PACK),
  "capability.permission_taken": none(409, FIX_PACK),
  "capability.invalid_config": none(400, FIX_REQUEST),
  "capability.batch_too_large": none(400, FIX_REQUEST),
  "capability.grant_not_found": remedy(404, "rumi grant list {principal_id}"),
  "capability.grant_expired": remedy(403, "rumi grant add {principal_id} {permission_id}"),
  "capability.config_conflict": remedy(403, "rumi grant list {principal_id}"),
  "capability.limit_reached": remedy(429, "rumi grant list {principal_id}"),
  "capability.rate_limited": none(429, TRY_AGAIN, true),

  "egress.report_too_long": none(400, FIX_REQUEST),

  "secrets.invalid_key": none(400, "a key has 1 to 64 of A-Z, 0-9 and _"),
  "secrets.invalid_value": none(400, "a value is a text"),
  "secrets.too_short": none(400, "a value under 4 bytes cannot be kept out of sight"),
  "secrets.too_large": none(400, "a value has at most 64 KiB"),
  "secrets.not_found": remedy(404, "rumi secret list"),
  "secrets.locked": remedy(503, "rumi doctor"),
  "secrets.access_denied": remedy(403, "rumi secret grant {pack_id}"),
  "secrets.binding_suspended": remedy(403, "rumi secret grant {pack_id}"),

  "store.invalid_id": none(400, "an id has 1 to 128 of a-z, A-Z, 0-9, _ and -"),
  "store.invalid_key": none(400, FIX_REQUEST),
  "store.invalid_root": none(400, "a root is one name below user_data/stores"),
  "store.invalid_cursor": none(400, FIX_REQUEST),
  "store.not_found": remedy(404, "rumi store list"),
  "store.exists": remedy(409, "rumi store list"),
  "store.owner_mismatch": remedy(403, "rumi store list"),
  "store.share_required": remedy(403, "rumi store share {store_id} {consumer_pack_id}"),
  "store.conflict": none(409, "what is there is not what was expected"),
  "store.unavailable": remedy(503, "rumi doctor", true),
  "store.quota_exceeded": remedy(413, "rumi store list"),
  "store.payload_too_large": none(413, FIX_REQUEST),

  "dict.rejected": none(400, "a word has 1 to 256 characters, a chain 10 hops, the dictionary 10,000 rules"),
  "dict.conflict": remedy(409, "rumi dict remove {namespace} {token}"),
  "dict.cycle_detected": remedy(409, "rumi dict list {namespace}"),
  "dict.not_found": remedy(404, "rumi dict list {namespace}"),
  "dict.unavailable": remedy(503, "rumi doctor", true),
  "vocab.convert_failed": none(500, FIX_PACK),
  "vocab.collision": none(400, FIX_PACK),

  "flow.not_found": remedy(404, "rumi flow list"),
  "flow.run_not_found": remedy(404, "rumi run list"),
  "flow.not_runnable": none(403, "the daemon alone runs this flow"),
  "flow.run_denied": remedy(403, "rumi grant add {pack_id} flow.run -c allowed_flow_ids=FLOW"),
  "flow.invalid_input": remedy(400, "rumi flow show {flow_id}"),
  "flow.input_type": remedy(400, "rumi flow show {flow_id}"),
  "flow.too_many_runs": remedy(429, "rumi run list", true),
  "flow.cancelled": none(409, "it was cancelled"),
  "flow.aborted": none(409, "the flow ended itself"),
  "flow.timeout": none(408, "ask for a longer timeout"),
  "flow.run_finished": remedy(409, "rumi run show {run_id}"),
  "flow.definition_changed": remedy(409, "rumi flow show {flow_id}"),
  "flow.pack_changed": remedy(409, "rumi pack list"),
  "flow.input_too_large": none(413, FIX_REQUEST),
  "flow.context_too_large": none(413, FIX_FLOW),
  "flow.depth_exceeded": none(500, FIX_FLOW),
  "flow.recursive": none(500, FIX_FLOW),
  "flow.loop_limit": none(500, FIX_FLOW),
  "flow.repeat_exhausted": none(500, FIX_FLOW),
  "flow.not_iterable": none(500, FIX_FLOW),
  "flow.step_timeout": none(500, FIX_FLOW),
  "flow.missing_target": remedy(500, "rumi pack list"),
  "flow.child_failed": none(500, FIX_FLOW),
  "flow.child_aborted": none(500, FIX_FLOW),
  "schedule.not_found": remedy(404, "rumi schedule list"),
  "modifier.not_found": remedy(404, "rumi modifier list"),
  "flow.resume_limit": remedy(500, "rumi run show {run_id}"),
  "kernel.invalid_args": none(400, FIX_FLOW),
  "kernel.failed": none(500, FIX_FLOW),

  "interface.key_denied": none(403, FIX_PACK),
  "interface.key_taken": none(409, "another pack has that key; its pack, or this one, has to go without it"),
  "event.unsupported": none(400, FIX_PACK),

  "lib.failed": none(500, FIX_PACK),
  "lib.gave_up": remedy(500, "rumi lib list"),
  "lib.not_found": remedy(404, "rumi pack list"),

  "pack_runtime.stopping": none(503, TRY_AGAIN, true),
  "pack_runtime.unknown_pack": remedy(404, "rumi pack list"),

  "sandbox.docker_required": remedy(503, "rumi doctor"),
  "sandbox.engine_weak": remedy(503, "rumi doctor"),
  "sandbox.image_missing": remedy(503, "rumi container pin"),
  "sandbox.busy": remedy(503, "rumi container list", true),
  "sandbox.start_failed": remedy(503, "rumi doctor", true),
  "sandbox.invalid_mount": none(500, DEFECT),
  "sandbox.path_rejected": none(502, FIX_PACK),
  "sandbox.hash_verification_failed": remedy(502, "rumi pack list"),
  "sandbox.approval_rejected": remedy(502, "rumi pack list"),
  "sandbox.block_error": none(502, FIX_PACK),
  "sandbox.module_load_error": none(502, FIX_PACK),
  "sandbox.no_run_function": none(502, FIX_PACK),
  "sandbox.invalid_output": none(502, FIX_PACK),
  "sandbox.response_too_large": none(502, FIX_PACK),
  "sandbox.timeout": none(504, FIX_PACK),
  "sandbox.cancelled": none(502, "it was cancelled"),
  "sandbox.crashed": none(502, FIX_PACK),
  "sandbox.oom_killed": none(502, FIX_PACK),
  "sandbox.protocol_error": none(502, FIX_PACK),
  "sandbox.instance_lost": remedy(502, "rumi container list", true),
} as const satisfies Readonly<Record<PackageCode | "internal", CodeEntry>> & Readonly<Record<string, CodeEntry>>;

const ENTRIES: ReadonlyMap<string, CodeEntry> = new Map(Object.entries(CODES));

/** What HTTP makes of `code`. A code this table does not know is 404 when it ends in `not_found`, else a defect: 500. */
export function codeEntry(code: string): CodeEntry {
  const entry = ENTRIES.get(code);
  if (entry !== undefined) return entry;
  if (LOAD_CODES.has(code)) return none(400, FIX_FLOW);
  return code.endsWith("not_found") ? none(404, FIX_REQUEST) : none(500, DEFECT);
}

/** True when the table has a line for `code`. */
export function isKnownCode(code: string): boolean {
  return ENTRIES.has(code) || LOAD_CODES.has(code);
}

/** Verbs of the command line that no route of this API stands behind. */
const LOCAL_VERBS: readonly string[] = ["init", "check", "doctor", "start", "token show", "pack validate", "completion"];

/** True when `command` starts with a verb of `rumi` that there is today: `verbs` are those of the routes. */
function namesVerb(command: string, verbs: readonly string[]): boolean {
  return [...LOCAL_VERBS, ...verbs].some((verb) => `${command} `.startsWith(`rumi ${verb.split(" --", 1)[0] ?? verb} `));
}

/** The command that an error itself names, unless there is no such verb; then the table's for its code, if it has one. */
export function workingRemedy(
  code: string,
  own: string | null | undefined,
  details: Readonly<Record<string, unknown>>,
  verbs: readonly string[],
): string | null {
  if (typeof own === "string" && (!own.startsWith("rumi ") || namesVerb(own, verbs))) return own;
  const { remedy: known } = codeEntry(code);
  return known === null ? null : fillRemedy(known, details);
}

/** Fills `{name}` holes of a command from details; a hole without a plain value becomes its upper-case name. */
export function fillRemedy(command: string, details: Readonly<Record<string, unknown>>): string {
  return command.replace(/\{(\w+)\}/gu, (_, name: string) => {
    const value = details[name];
    return typeof value === "string" && /^[\w.:-]{1,160}$/u.test(value) ? value : name.toUpperCase();
  });
}

import { canonicalJson, findForbiddenKey, isJsonObject, isoTime, jsonDepth, MAX_INPUT_DEPTH, PermissionId } from "@rumi/core";
import type { JsonObject, JsonValue, PackId } from "@rumi/core";
import * as v from "valibot";
import { CapabilityError } from "./errors.ts";
import type { GrantAsk } from "./grant.ts";
import { isPrincipal } from "./grant-files.ts";
import { loweredNumbers, MAX_CONFIG_BYTES } from "./grant-specs.ts";
import type { GrantSpec, GrantSpecs } from "./grant-specs.ts";
import { HOST_PRIVILEGES } from "./host-privileges.ts";

const Ask = v.strictObject({
  principal_id: v.string(),
  permission_id: v.string(),
  config: v.optional(v.unknown(), {}),
  expires_at: v.nullish(v.string()),
  notes: v.nullish(v.pipe(v.string(), v.maxLength(1024))),
});

/** A grant that may be written down. */
export interface CheckedAsk {
  readonly principal: PackId;
  readonly spec: GrantSpec;
  readonly config: JsonObject;
  readonly expires_at: string | undefined;
  readonly notes: string | undefined;
  readonly warnings: readonly string[];
}

const UTC = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/u;

/** Holds what an operator asks for against the spec of its permission. @throws CapabilityError `capability.invalid_config` */
export function checkAsk(ask: Omit<GrantAsk, "actor">, specs: GrantSpecs, nowMs: number): CheckedAsk {
  const parsed = v.safeParse(Ask, ask);
  if (!parsed.success) throw invalid(issueText(parsed.issues[0]));
  const { principal_id, permission_id, config, expires_at, notes } = parsed.output;
  const principal = parsePrincipal(principal_id);
  const spec = findSpec(permission_id, specs);
  const asked = plainObject(config);
  const checked = v.safeParse(spec.config, asked);
  if (!checked.success) throw invalid(`the config of ${spec.permission_id} is refused: ${issueText(checked.issues[0])}`);
  const kept = JSON.parse(canonicalJson(checked.output)) as JsonObject;
  return {
    principal,
    spec,
    config: kept,
    expires_at: expires_at == null ? undefined : futureTime(expires_at, nowMs),
    notes: notes ?? undefined,
    warnings: [...loweredNumbers(asked, kept), ...wideWarnings(spec, kept)],
  };
}

/** @throws CapabilityError `capability.invalid_config` */
export function parsePrincipal(text: string): PackId {
  if (isPrincipal(text)) return text;
  throw invalid(`${quote(text)} cannot hold rights: it is no pack id`);
}

/** The spec of a permission by id or alias. @throws CapabilityError `capability.invalid_config` */
export function findSpec(text: string, specs: GrantSpecs): GrantSpec {
  if ((HOST_PRIVILEGES as readonly string[]).includes(text)) {
    throw invalid(`${text} is a host privilege, not a grant`, `rumi privilege grant <pack> ${text}`);
  }
  if (!v.is(PermissionId, text)) throw invalid(`${quote(text)} is no permission id`);
  return specs.find(text);
}

/** One issue as one line. */
export function issueText(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return (path === null ? issue.message : `${path}: ${issue.message}`).slice(0, 500);
}

/** JSON that can be signed, without null anywhere, within the size of a config. */
function plainObject(config: unknown): JsonObject {
  if (!isJsonObject(config)) throw invalid("a config is an object");
  const forbidden = findForbiddenKey(config);
  if (forbidden !== null) throw invalid(`the key ${forbidden} is not allowed`);
  if (jsonDepth(config, MAX_INPUT_DEPTH - 8) > MAX_INPUT_DEPTH - 8) throw invalid("the config is nested too deep");
  if (hasNull(config)) throw invalid("null means nothing in a config: leave the key out");
  let text: string;
  try {
    text = canonicalJson(config);
  } catch (cause) {
    throw new CapabilityError("capability.invalid_config", "the config holds something that is not JSON", { cause });
  }
  if (Buffer.byteLength(text) > MAX_CONFIG_BYTES) throw invalid(`a config has at most ${MAX_CONFIG_BYTES} bytes`);
  return JSON.parse(text) as JsonObject;
}

function hasNull(value: JsonValue | undefined): boolean {
  if (value === null) return true;
  return typeof value === "object" && Object.values(value).some((member: JsonValue) => hasNull(member));
}

function futureTime(text: string, nowMs: number): string {
  const at = UTC.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw invalid("expires_at is a time such as 2030-01-31T12:00:00Z");
  if (at <= nowMs) throw invalid("expires_at lies in the past");
  return isoTime(at);
}

/** What an operator should know before others find out. */
function wideWarnings(spec: GrantSpec, config: JsonObject): string[] {
  const warnings = Object.entries(config).flatMap(([name, value]) => {
    if (!Array.isArray(value)) return [];
    const all = value.includes("*");
    if (name === "allowed_domains" && all) return ['allowed_domains "*" reaches every host of the internet'];
    return name.startsWith("allowed_") && all ? [`${name} "*" means all there are and all there will be`] : [];
  });
  const pairs = config.allow_private;
  if (spec.permission_id === "network.egress" && Array.isArray(pairs) && pairs.length > 0) {
    warnings.push(`reaches private addresses: ${pairs.join(", ")}`);
  }
  if (spec.permission_id === "secrets.use") {
    warnings.push("a host that changes a value on purpose before it sends it back can show it to the pack");
  }
  const nothing = spec.nothing({ ...spec.defaults, ...config });
  return nothing === null ? warnings : [...warnings, `${nothing}: this grant allows nothing`];
}

function invalid(message: string, remedy?: string): CapabilityError {
  return new CapabilityError("capability.invalid_config", message, remedy === undefined ? {} : { remedy });
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

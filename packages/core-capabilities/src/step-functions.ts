import { isListed } from "@rumi/capability";
import type { CapabilityAnswer, CapabilitySource, GrantBook } from "@rumi/capability";
import { SYSTEM_PRINCIPAL } from "@rumi/core";
import type {
  AuditSink,
  Clock,
  Digest,
  ExecutionMode,
  InFlightCall,
  InstanceCaller,
  JsonValue,
  PackId,
  PermissionId,
  Refusal,
  SocketOwner,
} from "@rumi/core";
import type { BlockOutcome, FunctionAsk, FunctionOutcome, FunctionRunner } from "@rumi/flow-engine";
import { closedOwner } from "./closed-owner.ts";
import type { ApprovedPacks, FoundFunction, FunctionHouse } from "./ports.ts";

const FUNCTION_CALL = "function.call" as PermissionId;

/** Characters of a name that an entry repeats. */
const MAX_SHOWN = 256;

/** Error types of `function.call` and the broker that are not outcomes of running, and the code a step fails with. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ["permission_denied", "capability.permission_denied"],
  ["access_denied", "secrets.access_denied"],
  ["rate_limited", "capability.rate_limited"],
  ["limit_reached", "capability.limit_reached"],
  ["validation_error", "flow.invalid_input"],
]);

export interface StepFunctionsDeps {
  readonly functions: FunctionHouse;
  readonly approvals: ApprovedPacks;
  readonly grants: Pick<GrantBook, "effective" | "take">;
  /** Powers by permission id, which a step may name as well. */
  readonly source: CapabilitySource;
  readonly broker: { handle(message: JsonValue, owner: SocketOwner, signal: AbortSignal): Promise<CapabilityAnswer> };
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** Where blocks run now. */
  readonly mode: () => ExecutionMode;
}

/**
 * Function steps of flows: a function by `pack:function`, a power by its permission id, else a function by its alias. A
 * function runs as the pack it belongs to; a power is used as the step's principal, past the same checks as a block's call.
 */
export class StepFunctions implements FunctionRunner {
  readonly #deps: StepFunctionsDeps;

  constructor(deps: StepFunctionsDeps) {
    this.#deps = deps;
  }

  async call(ask: FunctionAsk, signal: AbortSignal): Promise<FunctionOutcome> {
    const { functions, source } = this.#deps;
    if (!ask.name.includes(":") && source.find(ask.name) !== undefined) {
      return { found: true, owner_pack: null, outcome: await this.#power(ask, signal) };
    }
    const found = functions.find(ask.name);
    const closed = found === undefined ? closedOwner(this.#deps.approvals, ask.name) : null;
    if (closed !== null) return { found: true, owner_pack: closed.pack_id, outcome: await this.#refuse(ask, closed.refusal) };
    if (found === undefined) return { found: false, message: `there is no function ${ask.name}` };
    const refusal = this.#refusal(ask.principal, found);
    const outcome = refusal === null ? await this.#run(ask, found, signal) : await this.#refuse(ask, refusal);
    return { found: true, owner_pack: found.pack_id, outcome };
  }

  /** Why a step of `principal` could not call `name` now, or null. Nothing is called; takes a use of a grant as a call does. */
  check(name: string, principal: string): Refusal | null {
    const { functions, grants, source } = this.#deps;
    if (!name.includes(":") && source.find(name) !== undefined) {
      if (principal === SYSTEM_PRINCIPAL) return noPowerHere(name);
      const held = grants.effective(principal as PackId, name as PermissionId);
      if (held.allowed) return null;
      return { allowed: false, code: held.code, reason: held.reason, remedy: held.remedy ?? `rumi grant add ${principal} ${name}` };
    }
    const found = functions.find(name);
    const missing = (): Refusal => refusalOf("flow.missing_target", `there is no function ${name}`, "rumi pack list");
    if (found === undefined) return closedOwner(this.#deps.approvals, name)?.refusal ?? missing();
    return this.#refusal(principal, found);
  }

  async #run(ask: FunctionAsk, found: FoundFunction, signal: AbortSignal): Promise<BlockOutcome> {
    const { clock, functions } = this.#deps;
    const startedAt = clock.monotonic();
    const asked = { name: found.name, args: ask.args, caller: this.#caller(ask), timeout_ms: ask.timeout_ms };
    const end = await functions.call(asked, signal);
    const facts = { execution_mode: this.#deps.mode(), warnings: [], duration_ms: clock.monotonic() - startedAt };
    if (end.ok) return { ok: true, value: end.value, ...facts };
    const { code, error_type, message } = end;
    if (error_type === "permission_denied") await this.#record(ask, code, message);
    return { ok: false, code, error_type, message, retryable: code.startsWith("sandbox."), ...facts };
  }

  /** Checks in the order of page "Flows", section 12: approved, caller, what callers and what the owner must hold. */
  #refusal(principal: string, found: FoundFunction): Refusal | null {
    const { approvals, grants } = this.#deps;
    const gate = approvals.gate(found.pack_id);
    if (!gate.allowed) return refusalOf(gate.code, gate.reason, gate.remedy);
    if (principal !== SYSTEM_PRINCIPAL && principal !== found.pack_id) {
      const held = grants.effective(principal as PackId, FUNCTION_CALL);
      const listed = held.allowed && isListed(held.config, "allowed_functions", found.name) && grants.take(principal as PackId, held);
      const config = JSON.stringify({ allowed_functions: [found.name] });
      if (!listed)
        return refusalOf(
          "function.call_denied",
          `${principal} may not call ${found.name}`,
          `rumi grant add ${principal} function.call --config '${config}'`,
        );
    }
    const ofCaller = principal === SYSTEM_PRINCIPAL ? undefined : this.#missing(principal as PackId, found.caller_requires);
    if (ofCaller !== undefined)
      return refusalOf(
        "function.call_denied",
        `${principal} does not hold ${ofCaller}, which ${found.name} asks of callers`,
        `rumi grant add ${principal} ${ofCaller}`,
      );
    const ofOwner = this.#missing(found.pack_id, found.requires);
    if (ofOwner === undefined) return null;
    return refusalOf(
      "function.requires_denied",
      `${found.pack_id} does not hold ${ofOwner}, which ${found.name} needs`,
      `rumi grant add ${found.pack_id} ${ofOwner}`,
    );
  }

  #missing(pack: PackId, permissions: readonly string[]): string | undefined {
    return permissions.find((permission) => !this.#deps.grants.effective(pack, permission as PermissionId).allowed);
  }

  async #power(ask: FunctionAsk, signal: AbortSignal): Promise<BlockOutcome> {
    const { broker, clock } = this.#deps;
    const startedAt = clock.monotonic();
    if (ask.principal === SYSTEM_PRINCIPAL) return this.#refuse(ask, noPowerHere(ask.name));
    const caller = this.#caller(ask);
    const owner: SocketOwner = { caller: () => caller, gone: signal, onCallEnd: () => () => undefined };
    const message = { permission_id: ask.name, args: ask.args, timeout_seconds: Math.max(0.001, ask.timeout_ms / 1000) };
    const answer = await broker.handle(message, owner, signal);
    const facts = { execution_mode: "container", warnings: [], duration_ms: clock.monotonic() - startedAt } as const;
    if (answer.success) return { ok: true, value: answer.output as JsonValue, ...facts };
    const type = answer.error_type ?? "internal_error";
    const code = REFUSALS.get(type) ?? `capability.${type}`;
    const text = answer.error ?? "the power was not used";
    const remedy = code === "capability.permission_denied" ? `rumi grant add ${ask.principal} ${ask.name}` : undefined;
    return refused(refusalOf(code, `${ask.name}: ${text}`, remedy));
  }

  async #refuse(ask: FunctionAsk, refusal: Refusal): Promise<BlockOutcome> {
    await this.#record(ask, refusal.code, refusal.reason);
    return refused(refusal);
  }

  /** A "no" is told before it is answered; it holds with or without its entry. */
  async #record({ name, principal, flow_id, step_id, phase, run_id }: FunctionAsk, code: string, reason: string): Promise<void> {
    const owner = principal === SYSTEM_PRINCIPAL ? {} : { owner_pack: principal };
    const place = { flow_id, step_id, phase, run_id, ...owner };
    const details = { function: name.slice(0, MAX_SHOWN), principal_id: principal };
    const event = { category: "security", severity: "warning", action: code, success: false, rejection_reason: reason } as const;
    await this.#deps.audit.record({ ...event, ...place, details }).catch(() => undefined);
  }

  /** Who asks: the step's principal, with the step itself as the call in flight. */
  #caller(ask: FunctionAsk): InstanceCaller {
    const gate = ask.principal === SYSTEM_PRINCIPAL ? null : this.#deps.approvals.gate(ask.principal as PackId);
    const { call_id, run_id, flow_id, step_id, phase, idempotency_key, chain } = ask;
    const call: InFlightCall = {
      call_id,
      run_id,
      flow_id,
      step_id,
      phase,
      idempotency_key,
      chain,
      deadline: this.#deps.clock.monotonic() + ask.timeout_ms,
    };
    return {
      principal: ask.principal as PackId,
      digest: ask.principal_digest ?? (gate?.allowed === true ? gate.digest : ("" as Digest)),
      instance_id: "",
      execution_mode: this.#deps.mode(),
      call,
    };
  }
}

function refusalOf(code: string, reason: string, remedy: string | undefined): Refusal {
  return { allowed: false, code: code as Refusal["code"], reason, ...(remedy === undefined ? {} : { remedy }) };
}

function noPowerHere(name: string): Refusal {
  const reason = `a step of a shared flow holds no right: let a pack's block use ${name}`;
  return refusalOf("capability.permission_denied", reason, undefined);
}

function refused({ code, reason, remedy }: Refusal): BlockOutcome {
  return {
    ok: false,
    code,
    error_type: code.slice(code.indexOf(".") + 1),
    message: reason,
    ...(remedy === undefined ? {} : { remedy }),
    execution_mode: "rejected",
    retryable: false,
    duration_ms: 0,
  };
}

import type { ApprovedPack, PackApprovals } from "@rumi/approval";
import type { Capability, CapabilityOutcome, CapabilitySource, CapabilityUse, HostMount, TrustStore } from "@rumi/capability";
import { MAX_RESPONSE_BYTES } from "@rumi/core";
import type { Decision, DiagnosticsSink, ErrorCode, JsonObject, Logger, PackId, PermissionId, Random } from "@rumi/core";
import type { InstanceLimits, Runtime, RunResult, Sandbox } from "@rumi/sandbox";
import { RumiError } from "@rumi/core";
import * as v from "valibot";
import { failed } from "./outcome.ts";
import { readHandlers } from "./read-handlers.ts";
import type { ShippedHandler } from "./read-handlers.ts";

/** Handlers that run at once, each in an instance of its own: in all, and for one pack. */
const MAX_RUNNING = 16;
const MAX_RUNNING_OF_ONE = 4;
const MAX_LOG_BYTES = 256 * 1024;

export interface PackHandlersDeps {
  readonly approvals: Pick<PackApprovals, "approved" | "gate" | "verifySnapshot">;
  readonly trust: Pick<TrustStore, "decide">;
  readonly sandbox: Sandbox;
  /** The sandbox serves and has the runtime's image. @throws RumiError */
  readonly admit: (runtime: Runtime) => Promise<void>;
  /** Folders of the host that an operator gave the providing pack. Absent: none. */
  readonly mounts?: (packId: PackId) => readonly HostMount[];
  readonly diagnostics: DiagnosticsSink;
  readonly logger: Logger;
  readonly random: Random;
}

export interface PackHandlersOptions {
  readonly limits: InstanceLimits;
}

/**
 * Powers that packs supply. Each use needs trust in the very bytes of the handler, and runs in an instance of the providing
 * pack that is made for it: no sockets, no network, no other pack's files. Nothing of it runs on the host.
 */
export class PackHandlers implements CapabilitySource {
  readonly #deps: PackHandlersDeps;
  readonly #options: PackHandlersOptions;
  #byPermission: ReadonlyMap<string, readonly ShippedHandler[]> = new Map();
  #turn: Promise<void> = Promise.resolve();
  readonly #running: PackId[] = [];

  constructor(deps: PackHandlersDeps, options: PackHandlersOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Reads the packs that are approved now. To be called whenever that may have changed. */
  reload(): Promise<void> {
    const turn = this.#turn.then(async () => {
      const byPermission = new Map<string, ShippedHandler[]>();
      for (const pack of this.#deps.approvals.approved()) {
        for (const handler of await readHandlers(pack, (slug, message) => this.#report(pack, slug, message))) {
          byPermission.set(handler.permission_id, [...(byPermission.get(handler.permission_id) ?? []), handler]);
        }
      }
      this.#byPermission = byPermission;
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The handler of a permission that is trusted, else the first that is there: its refusal is the broker's to give. */
  find(name: string): Capability | undefined {
    const handlers = this.#byPermission.get(name) ?? [];
    const handler = handlers.find((one) => this.#decide(one).allowed) ?? handlers[0];
    return handler === undefined ? undefined : this.#capability(handler);
  }

  #capability(handler: ShippedHandler): Capability {
    return {
      permission_id: handler.permission_id as PermissionId,
      args: v.custom<JsonObject>((args) => typeof args === "object" && args !== null && !Array.isArray(args), "args is an object"),
      provider: { pack_id: handler.pack_id, decide: () => this.#decide(handler) },
      outside: () => null,
      run: (use) => this.#run(handler, use),
    };
  }

  /** The provider's gate at the bytes that were read, and trust in the handler's own bytes. Memory only. */
  #decide(handler: ShippedHandler): Decision<{ readonly root: string }, ErrorCode> {
    const gate = this.#deps.approvals.gate(handler.pack_id, handler.digest);
    if (!gate.allowed) return gate;
    if (handler.refused !== null) {
      return { allowed: false, code: "capability.trust_denied", reason: `handler ${handler.handler_id}: ${handler.refused}` };
    }
    const { handler_id, pack_id, slug, permission_id, sha256 } = handler;
    const trust = this.#deps.trust.decide({ handler_id, pack_id, slug, permission_id, sha256 });
    return trust.allowed ? { allowed: true, root: gate.root } : trust;
  }

  async #run(handler: ShippedHandler, use: CapabilityUse): Promise<CapabilityOutcome> {
    const { principal } = use.caller;
    const own = this.#running.filter((one) => one === principal).length;
    if (this.#running.length >= MAX_RUNNING || own >= MAX_RUNNING_OF_ONE) {
      return failed("busy", "Busy", { reason: `${this.#running.length} handlers are running, ${own} of them for ${principal}` });
    }
    this.#running.push(principal);
    try {
      return outcomeOf(await this.#inInstance(handler, use));
    } catch (cause) {
      if (!(cause instanceof RumiError)) throw cause;
      return failed("handler_error", "Handler failed", { reason: `${cause.code}: ${cause.message}` });
    } finally {
      this.#running.splice(this.#running.indexOf(principal), 1);
    }
  }

  async #inInstance(handler: ShippedHandler, use: CapabilityUse): Promise<RunResult> {
    const { approvals, sandbox, random } = this.#deps;
    const verified = await approvals.verifySnapshot(handler.pack_id, handler.digest);
    const passed = verified.allowed ? this.#decide(handler) : verified;
    if (!passed.allowed) throw new RumiError(passed.code, passed.reason);
    await this.#deps.admit(handler.runtime);
    const id = random.hex(16);
    const instance = await sandbox.start(
      {
        instance_id: id,
        purpose: "handler",
        pack_id: handler.pack_id,
        digest: handler.digest,
        runtime: handler.runtime,
        authority: handler.pack_id,
        mounts: [{ source: passed.root, target: "/pack", read_only: true }, ...(this.#deps.mounts?.(handler.pack_id) ?? [])],
        sockets: {},
        limits: this.#options.limits,
        env: {},
        reuse: false,
        slots: 1,
      },
      use.signal,
    );
    try {
      return await sandbox.run(
        instance,
        {
          call_id: id,
          convention: "handler",
          file: handler.file,
          function: handler.function,
          input: use.args,
          context: {
            principal_id: use.caller.principal,
            permission_id: handler.permission_id,
            grant_config: use.config,
            request_id: use.request_id,
          },
          timeout_ms: Math.max(1, Math.floor(use.timeout_ms)),
          max_result_bytes: MAX_RESPONSE_BYTES,
          max_log_bytes: MAX_LOG_BYTES,
        },
        use.signal,
      );
    } finally {
      await sandbox.stop(instance).catch((cause: unknown) => {
        this.#deps.logger.log("error", "a handler's instance could not be removed; the next sweep tries again", { error: String(cause) });
      });
    }
  }

  #report(pack: ApprovedPack, slug: string, message: string): void {
    this.#deps.diagnostics.report({
      kind: "capability_handler",
      id: `${pack.pack_id}:${slug}`,
      status: "disabled",
      message,
      remedy: "rumi pack validate",
    });
  }
}

/** A handler's output is its own, as it is. */
function outcomeOf(result: RunResult): CapabilityOutcome {
  if (result.kind === "ok") return { ok: true, output: result.value as JsonObject };
  if (result.kind === "timeout") return failed("timeout", "Timed out", { reason: result.message });
  if (result.kind === "response_too_large") return failed("response_too_large", "Response too large", { reason: result.message });
  return failed("handler_error", "Handler failed", { reason: `sandbox.${result.kind}: ${result.message}` });
}

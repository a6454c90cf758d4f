import { join } from "node:path";
import { FORBIDDEN_KEYS, isoTime, PackId, PermissionId } from "@rumi/core";
import type { AuditSink, Clock, Decision, DiagnosticsSink } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";
import { CapabilityError, type CapabilityErrorCode } from "./errors.ts";
import { permissionEvent, refuse } from "./grant-events.ts";
import { SignedRecord } from "./signed-record.ts";

const Hex = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u));
const Word = v.pipe(v.string(), v.regex(/^[a-z0-9_]{1,32}$/u));
const Artifact = v.strictObject({ os: Word, arch: Word, sha256: Hex });

/** Code of a handler that an operator trusts. */
const TrustEntry = v.strictObject({
  /** Tree digest of the slug, hex. */
  sha256: Hex,
  pack_id: PackId,
  slug: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,64}$/u)),
  permission_id: PermissionId,
  artifacts: v.array(Artifact),
  note: v.pipe(v.string(), v.maxLength(1024)),
  by: v.string(),
  at: v.string(),
});
export type TrustEntry = Readonly<v.InferOutput<typeof TrustEntry>>;

const HandlerId = v.pipe(
  v.string(),
  v.regex(/^[a-zA-Z0-9_.-]{1,128}$/u),
  v.check((id) => !FORBIDDEN_KEYS.has(id), "is not allowed"),
);
const TrustFile = v.strictObject({ handlers: v.record(HandlerId, v.array(TrustEntry)) });

/** The code that is about to run. */
export interface TrustAsk {
  readonly handler_id: string;
  readonly pack_id: string;
  readonly slug: string;
  readonly permission_id: string;
  /** Of the slug in the pack's current snapshot, hex. */
  readonly sha256: string;
  /** For a binary: the one that would run. */
  readonly artifact?: { readonly os: string; readonly arch: string; readonly sha256: string };
}

/** What an operator says yes to. */
export interface TrustGift {
  readonly sha256: string;
  readonly pack_id: string;
  readonly slug: string;
  readonly permission_id: string;
  readonly artifacts?: readonly { readonly os: string; readonly arch: string; readonly sha256: string }[];
  readonly note?: string;
}

export interface TrustStoreDeps {
  /** Loaded already. */
  readonly signed: SignedFiles;
  readonly userData: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
}

/** Which code of which handlers is trusted, by digest, several per handler. A tampered file: none. */
export class TrustStore {
  readonly #deps: TrustStoreDeps;
  readonly #record: SignedRecord<v.InferOutput<typeof TrustFile>>;
  #handlers: ReadonlyMap<string, readonly TrustEntry[]> = new Map();
  #writing: Promise<unknown> = Promise.resolve();

  constructor(deps: TrustStoreDeps) {
    this.#deps = deps;
    const path = join(deps.userData, "capabilities", "trust", "trusted_handlers.json");
    this.#record = new SignedRecord(deps, { kind: "trusted_handlers", path, form: TrustFile, remedy: "rumi candidate scan" });
  }

  async load(): Promise<void> {
    this.#handlers = new Map(Object.entries((await this.#record.read())?.handlers ?? {}));
  }

  trusted(handlerId: string): readonly TrustEntry[] {
    return this.#handlers.get(handlerId) ?? [];
  }

  /** Is exactly this code, of this pack, for this permission, trusted? Memory only. */
  decide(ask: TrustAsk): Decision<{ readonly entry: TrustEntry }, CapabilityErrorCode> {
    const { artifact } = ask;
    const entry = this.trusted(ask.handler_id).find(
      (known) =>
        known.sha256 === ask.sha256 &&
        known.pack_id === ask.pack_id &&
        known.slug === ask.slug &&
        known.permission_id === ask.permission_id &&
        (artifact === undefined ||
          known.artifacts.some(({ os, arch, sha256 }) => os === artifact.os && arch === artifact.arch && sha256 === artifact.sha256)),
    );
    if (entry !== undefined) return { allowed: true, entry };
    const reason = `this code of the handler ${ask.handler_id} of ${ask.pack_id} is not trusted`;
    return { allowed: false, code: "capability.trust_denied", reason, remedy: "rumi candidate list" };
  }

  /** Trusts one more digest; the same one again only replaces its note. @throws CapabilityError `capability.invalid_config` */
  add(handlerId: string, gift: TrustGift, actor: string): Promise<void> {
    return this.#act("grant", handlerId, gift.pack_id, gift.permission_id, actor, async () => {
      const stamp = { by: actor, at: isoTime(this.#deps.clock.now()) };
      const entry = v.safeParse(TrustEntry, { artifacts: [], note: "", ...gift, ...stamp });
      if (!v.is(HandlerId, handlerId)) throw invalid("that is no handler id");
      if (!entry.success) throw invalid(entry.issues[0].message);
      const { sha256, pack_id } = entry.output;
      const others = this.trusted(handlerId).filter((known) => known.sha256 !== sha256 || known.pack_id !== pack_id);
      await this.#write(handlerId, [...others, entry.output], "grant", entry.output, actor);
    });
  }

  /** Left out `sha256`: every digest of the handler. @throws CapabilityError `capability.grant_not_found` */
  remove(handlerId: string, sha256: string | undefined, actor: string): Promise<{ removed: number }> {
    const gone = this.trusted(handlerId).filter((known) => sha256 === undefined || known.sha256 === sha256);
    const [first] = gone;
    return this.#act("revoke", handlerId, first?.pack_id ?? "", first?.permission_id ?? "", actor, async () => {
      const left = this.trusted(handlerId).filter((known) => sha256 !== undefined && known.sha256 !== sha256);
      const removed = this.trusted(handlerId).length - left.length;
      if (removed === 0 || first === undefined)
        throw new CapabilityError("capability.grant_not_found", "no such code of that handler is trusted");
      await this.#write(handlerId, left, "revoke", first, actor);
      return { removed };
    });
  }

  async #write(handlerId: string, entries: readonly TrustEntry[], action: string, entry: TrustEntry, actor: string): Promise<void> {
    const next = new Map(this.#handlers);
    if (entries.length === 0) next.delete(handlerId);
    else next.set(handlerId, entries);
    const { sha256, slug } = entry;
    const event = permissionEvent(action, facts(entry.pack_id, entry.permission_id, actor), { handler_id: handlerId, slug, sha256 });
    await this.#record.write({ handlers: Object.fromEntries(next) }, event);
    this.#handlers = next;
  }

  #act<T>(action: string, handlerId: string, packId: string, permissionId: string, actor: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(async () => {
      try {
        return await work();
      } catch (cause) {
        if (!(cause instanceof CapabilityError)) throw cause;
        return await refuse(this.#deps.audit, action, facts(packId, permissionId === "" ? handlerId : permissionId, actor), cause);
      }
    });
    this.#writing = turn.catch(() => undefined);
    return turn;
  }
}

function facts(principal_id: string, permission_id: string, actor: string) {
  return { permission_type: "handler_trust", principal_id, permission_id, actor };
}

function invalid(message: string): CapabilityError {
  return new CapabilityError("capability.invalid_config", message);
}

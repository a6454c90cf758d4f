import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { AuditEvent, AuditSink, PackId } from "@rumi/core";
import { isPackId } from "@rumi/pack-manifest";
import { ensureFolder } from "@rumi/safe-files";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";
import { ApprovalRecord, recordJson } from "./approval-record.ts";

/** What is on disk about one pack. */
export type StoredApproval =
  | { readonly state: "absent" }
  | { readonly state: "ok"; readonly record: ApprovalRecord }
  | { readonly state: "tampered"; readonly reason: string };

/** Which packs the operator switched off. `all`: the file cannot be trusted, so every pack is off. */
export type DisabledPacks = { readonly all: true } | { readonly all: false; readonly ids: ReadonlySet<string> };

const DisabledFile = v.object({ disabled: v.array(v.string()) });

/** Keeps approval records and the list of disabled packs, signed; each write is audited before it lands. */
export class ApprovalStore {
  readonly #signed: SignedFiles;
  readonly #audit: AuditSink;
  readonly #folder: string;
  readonly #disabledPath: string;

  constructor(deps: { readonly signed: SignedFiles; readonly audit: AuditSink; readonly userData: string }) {
    this.#signed = deps.signed;
    this.#audit = deps.audit;
    this.#folder = join(deps.userData, "permissions", "approvals");
    this.#disabledPath = join(deps.userData, "permissions", "disabled_packs.json");
  }

  /** Ids that have a record: its file is there, intact or not, or was and is gone. */
  async ids(): Promise<PackId[]> {
    const names = await readdir(this.#folder).catch((cause: unknown) => {
      if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
      throw cause;
    });
    const files = names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length));
    return [...new Set([...files, ...this.#signed.names("approval")])].filter(isPackId).sort();
  }

  async read(packId: PackId): Promise<StoredApproval> {
    const read = await this.#signed.read("approval", packId, this.#path(packId));
    if (read.state !== "ok") return read;
    const parsed = v.safeParse(ApprovalRecord, read.value);
    if (!parsed.success || parsed.output.pack_id !== packId) return { state: "tampered", reason: "the record is not in its form" };
    return { state: "ok", record: parsed.output };
  }

  /** Audits `events`, then writes. @throws RumiError `audit.unavailable`: nothing was written. */
  async write(record: ApprovalRecord, events: readonly AuditEvent[]): Promise<void> {
    await ensureFolder(this.#folder);
    await this.#signed.write("approval", record.pack_id, this.#path(record.pack_id), recordJson(record), async () => {
      for (const event of events) await this.#audit.record(event);
    });
  }

  async readDisabled(): Promise<DisabledPacks> {
    const read = await this.#signed.read("disabled_packs", "-", this.#disabledPath);
    if (read.state === "absent") return { all: false, ids: new Set() };
    const parsed = v.safeParse(DisabledFile, read.state === "ok" ? read.value : null);
    return parsed.success ? { all: false, ids: new Set(parsed.output.disabled) } : { all: true };
  }

  /** Audits `event`, then writes. @throws RumiError `audit.unavailable`: nothing was written. */
  async writeDisabled(ids: ReadonlySet<string>, event: AuditEvent): Promise<void> {
    await ensureFolder(join(this.#folder, ".."));
    await this.#signed.write("disabled_packs", "-", this.#disabledPath, { disabled: [...ids].sort() }, () => this.#audit.record(event));
  }

  #path(packId: PackId): string {
    return join(this.#folder, `${packId}.json`);
  }
}

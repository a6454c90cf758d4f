import type { AuditSink, DiagnosticsSink, PackId } from "@rumi/core";
import { SafeFilesError } from "@rumi/safe-files";
import type { GrantFolder } from "./grant-files.ts";

/** Files of grants that are not to be believed, until the operator resets them. */
export class TamperedGrants {
  readonly #audit: AuditSink;
  readonly #diagnostics: DiagnosticsSink;
  readonly #files = new Map<string, { readonly folder: GrantFolder; readonly principal: PackId }>();

  constructor(deps: { readonly audit: AuditSink; readonly diagnostics: DiagnosticsSink }) {
    this.#audit = deps.audit;
    this.#diagnostics = deps.diagnostics;
  }

  has(folder: GrantFolder, principal: PackId): boolean {
    return this.#files.has(`${folder}/${principal}`);
  }

  list(): { readonly principal_id: PackId; readonly folder: GrantFolder }[] {
    return [...this.#files.values()].map(({ principal, folder }) => ({ principal_id: principal, folder }));
  }

  /** @throws SafeFilesError `safe_files.record_tampered` */
  assertIntact(folder: GrantFolder, principal: PackId): void {
    if (!this.has(folder, principal)) return;
    const message = `the file of grants of ${principal} was tampered with`;
    throw new SafeFilesError("safe_files.record_tampered", message, { remedy: `rumi grant reset ${principal}` });
  }

  /** Remembers a file, and tells. */
  async add(folder: GrantFolder, principal: PackId, reason: string): Promise<void> {
    this.#files.set(`${folder}/${principal}`, { folder, principal });
    this.#diagnostics.report({
      kind: "grants",
      id: `${folder}/${principal}`,
      status: "failed",
      code: "safe_files.record_tampered",
      message: `the file of grants counts for nothing: ${reason}`,
      remedy: `rumi grant reset ${principal}`,
    });
    await this.#audit.record({
      category: "security",
      severity: "critical",
      action: "record_tampered",
      success: false,
      owner_pack: principal,
      rejection_reason: reason,
      details: { kind: folder === "network" ? "network" : "grants", id: principal, reason },
    });
  }

  /** The file was dropped by the operator. */
  clear(folder: GrantFolder, principal: PackId): void {
    this.#files.delete(`${folder}/${principal}`);
    this.#diagnostics.report({ kind: "grants", id: `${folder}/${principal}`, status: "ok", message: "reset by the operator" });
  }
}

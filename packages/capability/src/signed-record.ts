import type { AuditEvent, AuditSink, DiagnosticsSink, JsonObject } from "@rumi/core";
import type { SignedFiles } from "@rumi/safe-files";
import * as v from "valibot";

/** One signed file that this package keeps whole in memory. */
export interface SignedRecordDeps {
  readonly signed: SignedFiles;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
}

/** A signed file of one form. What is not to be believed counts as empty, and is told. */
export class SignedRecord<Value> {
  readonly #deps: SignedRecordDeps;
  readonly #kind: string;
  readonly #path: string;
  readonly #form: v.GenericSchema<unknown, Value>;
  readonly #remedy: string;

  constructor(
    deps: SignedRecordDeps,
    file: { readonly kind: string; readonly path: string; readonly form: v.GenericSchema<unknown, Value>; readonly remedy: string },
  ) {
    this.#deps = deps;
    this.#kind = file.kind;
    this.#path = file.path;
    this.#form = file.form;
    this.#remedy = file.remedy;
  }

  /** Null: absent, or not to be believed. */
  async read(): Promise<Value | null> {
    const read = await this.#deps.signed.read(this.#kind, "-", this.#path);
    if (read.state === "absent") return null;
    const parsed = read.state === "ok" ? v.safeParse(this.#form, read.value) : null;
    if (parsed?.success === true) return parsed.output;
    await this.#tell(read.state === "tampered" ? read.reason : "the file is not in its form");
    return null;
  }

  /** Audits `event`, then writes. @throws RumiError `audit.unavailable`, SafeFilesError `safe_files.locked`: nothing was written */
  async write(value: JsonObject, event: AuditEvent): Promise<void> {
    await this.#deps.signed.write(this.#kind, "-", this.#path, value, () => this.#deps.audit.record(event));
    this.#deps.diagnostics.report({ kind: "rights", id: this.#kind, status: "ok", message: "written" });
  }

  async #tell(reason: string): Promise<void> {
    const message = `the file counts for nothing: ${reason}`;
    const fault = { code: "safe_files.record_tampered", remedy: this.#remedy };
    this.#deps.diagnostics.report({ kind: "rights", id: this.#kind, status: "failed", message, ...fault });
    const event = { category: "security", severity: "critical", action: "record_tampered", success: false } as const;
    await this.#deps.audit.record({ ...event, rejection_reason: reason, details: { kind: this.#kind, id: "-", reason } });
  }
}

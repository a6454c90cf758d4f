import { join } from "node:path";
import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Clock, DiagnosticsSink, Logger } from "@rumi/core";
import { AppendFile, ensureFolder } from "@rumi/safe-files";
import { beginsLine, cut, formatLine, readJournal } from "./dictionary-journal.ts";
import type { JournalLine } from "./dictionary-journal.ts";
import { DictionaryRules } from "./dictionary-rules.ts";
import type { DictionaryRule, Explanation, ProposalResult, Resolution } from "./dictionary-rules.ts";
import { readSnapshot, removeLeftovers, setSnapshotAside, writeSnapshot } from "./dictionary-snapshot.ts";
import { VocabularyError } from "./errors.ts";

/** Every operation there was, refused ones too, one a line. */
const JOURNAL_FILE = "journal.jsonl";

/** What became of a proposal. `reason` in words, null when accepted. */
export interface Proposed extends DictionaryRule {
  readonly result: ProposalResult;
  readonly reason: string | null;
}

/** A rule to take away; with `value` only if it has that one. */
export interface RemovalAsk {
  readonly namespace: string;
  readonly token: string;
  readonly value?: string | undefined;
}

/** What became of a removal. `value`: of the rule that is gone, else the one asked for. */
export interface Removed {
  readonly namespace: string;
  readonly token: string;
  readonly value: string | null;
  readonly result: "removed" | "not_found";
}

export interface SharedDictionaryDeps {
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly diagnostics: DiagnosticsSink;
  readonly logger: Logger;
}

export interface SharedDictionaryOptions {
  /** `user_data/settings/shared_dict`. */
  readonly folder: string;
}

/**
 * The words that operators agree on, by namespace, on disk. An operation is in the journal, and on the disk, before it is answered or
 * counts; the snapshot follows. After a kill the rules are those before or after the operation in flight. Reads are of memory.
 */
export class SharedDictionary implements AsyncDisposable {
  readonly #deps: SharedDictionaryDeps;
  readonly #folder: string;
  #rules = new DictionaryRules();
  #journal: AppendFile | null = null;
  readonly #listeners = new Set<() => void>();
  #turn: Promise<unknown> = Promise.resolve();
  /** What was told last; the same is not told again. */
  #told = "";

  constructor(deps: SharedDictionaryDeps, options: SharedDictionaryOptions) {
    this.#deps = deps;
    this.#folder = options.folder;
  }

  /**
   * Reads what is there: the snapshot, then what the journal has beyond it. A broken snapshot is set aside and all rules come from the
   * journal. Never throws: what cannot be read is told, and until it can nothing is taken.
   */
  load(): Promise<void> {
    return this.#inTurn(async () => {
      try {
        const problems = await this.#load();
        if (problems.length === 0) this.#report("ok", "in order");
        else this.#report("degraded", problems.join("; "));
      } catch (cause) {
        await this.#close();
        this.#deps.logger.log("error", "the shared dictionary cannot be opened", { error: String(cause) });
        this.#report("failed", "its files cannot be opened: nothing can be proposed or removed");
      }
    });
  }

  /**
   * Adds a rule, unless it contradicts one, closes a cycle, makes a chain too long or is no text.
   * @throws VocabularyError `dict.unavailable`: nothing happened
   */
  propose(rule: DictionaryRule, actor: string): Promise<Proposed> {
    const { namespace, token, value } = rule;
    return this.#inTurn(async () => {
      const { result, reason, isNew } = this.#rules.judge(rule);
      await this.#write({ op: "propose", namespace, token, value, result });
      if (isNew) {
        this.#rules.add(rule);
        await this.#keep();
        this.#tellChange();
      }
      await this.#audit({ op: "propose", namespace, token, value, result }, reason, actor);
      return { namespace, token, value, result, reason };
    });
  }

  /** Takes a rule away. @throws VocabularyError `dict.unavailable`: nothing happened */
  remove(ask: RemovalAsk, actor: string): Promise<Removed> {
    const { namespace, token } = ask;
    return this.#inTurn(async () => {
      const held = this.#rules.find(namespace, token);
      const isThere = held !== undefined && (ask.value === undefined || ask.value === held);
      const result = isThere ? "removed" : "not_found";
      const value = (isThere ? held : ask.value) ?? null;
      await this.#write({ op: "remove", namespace, token, value, result });
      if (isThere) {
        this.#rules.remove(namespace, token);
        await this.#keep();
        this.#tellChange();
      }
      await this.#audit({ op: "remove", namespace, token, value, result }, isThere ? null : "there is no such rule", actor);
      return { namespace, token, value, result };
    });
  }

  /** Runs `listener` after a rule came or went. Answers how to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The end of the token's chain; a token that no rule names is its own. */
  resolve(namespace: string, token: string): Resolution {
    return this.#rules.resolve(namespace, token);
  }

  explain(namespace: string, token: string): Explanation {
    return this.#rules.explain(namespace, token);
  }

  /** Rules of all namespaces or one, by namespace, then token. */
  list(namespace?: string): DictionaryRule[] {
    return this.#rules.list(namespace);
  }

  /** Ends after the operations that were begun; later ones are refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inTurn(() => this.#close());
  }

  #tellChange(): void {
    for (const listener of this.#listeners) listener();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #load(): Promise<string[]> {
    const { clock, logger } = this.#deps;
    const problems: string[] = [];
    await ensureFolder(this.#folder);
    await removeLeftovers(this.#folder);
    await this.#close();
    const journal = (this.#journal = await AppendFile.open(this.#path()));
    if (journal.torn.length > 0) logger.log("warn", "the last line of the shared dictionary's journal was half written: it is dropped");
    const snapshot = await readSnapshot(this.#folder);
    if (snapshot.state === "broken") {
      const name = await setSnapshotAside(this.#folder, clock.now());
      problems.push(`snapshot.json was broken: it is ${name} now, the rules come from the journal`);
    }
    this.#rules = snapshot.state === "ok" ? snapshot.rules : new DictionaryRules();
    const from = snapshot.state === "ok" ? snapshot.journalBytes : 0;
    if (from > journal.size || !(await beginsLine(this.#path(), from))) {
      problems.push("journal.jsonl is not the one that snapshot.json goes with: only the snapshot counts");
    } else {
      const { unusable } = await this.#replay(from);
      if (unusable > 0) problems.push(`${unusable} lines of journal.jsonl cannot be used`);
    }
    if (snapshot.state !== "ok" || from !== journal.size) await writeSnapshot(this.#folder, this.#rules, journal.size);
    return problems;
  }

  async #replay(from: number): Promise<{ readonly unusable: number }> {
    let unusable = 0;
    for await (const line of readJournal(this.#path(), from)) if (line === null || !this.#again(line)) unusable += 1;
    return { unusable };
  }

  /** Does what a line says was done; false when the rules do not allow it. */
  #again({ op, namespace, token, value, result }: JournalLine): boolean {
    if (op === "propose" && result === "accepted")
      return value !== null && this.#rules.add({ namespace, token, value }).result === "accepted";
    if (op === "remove" && result === "removed") return this.#rules.remove(namespace, token);
    return true;
  }

  #path(): string {
    return join(this.#folder, JOURNAL_FILE);
  }

  async #write(line: Omit<JournalLine, "ts">): Promise<void> {
    const journal = this.#journal;
    if (journal === null) throw unavailable();
    const { size } = journal;
    try {
      await journal.append(Buffer.from(formatLine({ ts: isoTime(this.#deps.clock.now()), ...line })));
      await journal.sync();
    } catch (cause) {
      // What did not come whole to the disk must not count in a later life either.
      const taken = await journal.cut(size).then(
        () => true,
        () => false,
      );
      if (!taken) await this.#close();
      this.#report("failed", "its journal cannot be written");
      throw unavailable(cause);
    }
    if (this.#told.startsWith("failed")) this.#report("ok", "in order");
  }

  /** The journal has it: a snapshot that is behind is only told. */
  async #keep(): Promise<void> {
    try {
      await writeSnapshot(this.#folder, this.#rules, this.#journal?.size ?? 0);
      this.#report("ok", "in order");
    } catch (cause) {
      this.#deps.logger.log("error", "the snapshot of the shared dictionary cannot be written", { error: String(cause) });
      this.#report("degraded", "snapshot.json cannot be written: the journal alone holds the newest rules");
    }
  }

  async #audit(line: Omit<JournalLine, "ts">, reason: string | null, actor: string): Promise<void> {
    const { op, namespace, token, value, result } = line;
    try {
      await this.#deps.audit.record({
        category: "system",
        action: "shared_dict",
        success: reason === null,
        ...(reason === null ? {} : { severity: "warning", rejection_reason: reason }),
        details: { op, namespace: cut(namespace), token: cut(token), value: value === null ? null : cut(value), result, actor },
      });
    } catch (cause) {
      this.#deps.logger.log("error", "an audit entry could not be written", { action: "shared_dict", error: String(cause) });
    }
  }

  async #close(): Promise<void> {
    const journal = this.#journal;
    this.#journal = null;
    await journal?.[Symbol.asyncDispose]();
  }

  #report(status: "ok" | "degraded" | "failed", message: string): void {
    if (this.#told === `${status} ${message}`) return;
    this.#told = `${status} ${message}`;
    const told = status === "ok" ? {} : { code: "dict.unavailable", remedy: "rumi doctor" };
    this.#deps.diagnostics.report({ kind: "shared_dict", id: "shared_dict", status, message, ...told });
  }
}

function unavailable(cause?: unknown): VocabularyError {
  const words = cause instanceof RumiError ? cause.message : "the shared dictionary's files cannot be written";
  return new VocabularyError("dict.unavailable", words, { cause, remedy: "rumi doctor" });
}

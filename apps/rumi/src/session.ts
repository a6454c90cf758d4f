import { ClientError, CODES, createClient, ROUTE_VERBS, workingRemedy } from "@rumi/api/client";
import type { ApiAnswer, Client, Envelope } from "@rumi/api/client";
import type { Target } from "./discovery.ts";
import { escapeText, packLine, safeJson } from "./escape.ts";
import { EXIT, exitCodeOf } from "./exit-codes.ts";
import type { Say, Speech } from "./language.ts";
import type { World } from "./world.ts";

/** Options every verb has. */
export interface GlobalFlags {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
  readonly lang?: string;
}

/** Issues of one refused request that are shown. */
const MAX_ISSUES = 5;

/** A fault of the command line itself; its text is already in the person's language. */
export class UsageError extends Error {}

/** One run of a verb: who it speaks to and how it prints. */
export class Session {
  readonly world: World;
  readonly say: Say;
  readonly language: string;
  readonly json: boolean;
  readonly target: Target;
  readonly client: Client;

  constructor(world: World, target: Target, speech: Speech, json: boolean) {
    this.world = world;
    this.say = speech.say;
    this.language = speech.language;
    this.json = json;
    this.target = target;
    this.client = createClient({
      url: target.url,
      language: speech.language,
      // Ctrl-C ends the wait for any answer; what the daemon does goes on.
      fetch: (input, init) => world.fetch(input, { ...init, signal: init?.signal ?? world.interrupted }),
      ...(target.token === null ? {} : { token: target.token }),
    });
  }

  /** One line for a person; with `--json` it goes to stderr. */
  line(text = ""): void {
    if (this.json) this.world.stderr(`${text}\n`);
    else this.world.stdout(`${text}\n`);
  }

  /** One line beside the result. */
  note(text: string): void {
    this.world.stderr(`${text}\n`);
  }

  red(text: string): string {
    return this.world.interactive && !this.json ? `\u001b[31m${text}\u001b[0m` : text;
  }

  bold(text: string): string {
    return this.world.interactive && !this.json ? `\u001b[1m${text}\u001b[0m` : text;
  }

  /** Prints an answer: the envelope with `--json`, else what `show` prints. Gives the exit code. */
  finish<Data>(answer: ApiAnswer<Data>, show: (data: Data) => void): number {
    if (this.json) this.envelope(answer.envelope);
    if (answer.ok) {
      if (!this.json) show(answer.data);
      return EXIT.done;
    }
    this.refusal(answer.error, answer.code, remedyOf(answer.data), issuesOf(answer.data));
    return exitCodeOf(answer.status);
  }

  /** Prints a result that no daemon gave. */
  local<Data>(data: Data, show: (data: Data) => void): number {
    if (this.json) this.envelope({ success: true, data, error: null, code: null });
    else show(data);
    return EXIT.done;
  }

  /** A refusal made here, like one of the daemon's. */
  refuse(exitCode: number, code: string, error: string, remedy: string | null = null): number {
    if (this.json) {
      const data = remedy === null ? { retryable: false } : { retryable: false, remedy };
      this.envelope({ success: false, data, error, code });
    }
    this.refusal(error, code, remedy);
    return exitCode;
  }

  /** What an unexpected fault becomes. */
  fault(error: unknown): number {
    if (this.world.interrupted.aborted) {
      return this.refuse(EXIT.interrupted, "cli.interrupted", this.say("cli.interrupted"));
    }
    if (error instanceof UsageError) return this.refuse(EXIT.usage, "cli.usage", error.message);
    if (error instanceof ClientError) {
      const text = this.say(`error.${error.code}`, { url: this.target.url });
      if (error.code === "client.timeout") return this.refuse(EXIT.timeout, error.code, text, "rumi run list");
      return this.refuse(EXIT.unreachable, error.code, text, error.code === "client.unreachable" ? "rumi start" : null);
    }
    return this.refuse(EXIT.failed, "cli.failed", error instanceof Error ? error.message : String(error));
  }

  envelope<Data>(envelope: Envelope<Data>): void {
    this.world.stdout(`${safeJson(envelope)}\n`);
  }

  /** Error, what is wrong with which field, code and remedy, on stderr. */
  refusal(error: string, code: string, remedy: string | null, issues: readonly string[] = []): void {
    this.world.stderr(`${this.red(escapeText(error))}\n`);
    for (const issue of issues) this.world.stderr(`  ${packLine(issue)}\n`);
    this.world.stderr(`  ${this.say("cli.code")}: ${escapeText(code)}\n`);
    const command = remedy === null ? knownRemedy(code) : (workingRemedy(code, remedy, {}, ROUTE_VERBS) ?? knownRemedy(code));
    if (command !== null) this.world.stderr(`  ${this.say("cli.remedy")}: ${escapeText(command)}\n`);
  }
}

/** Field and fault of each issue of a refused request, like `expected_digest: Invalid format`. */
function issuesOf(data: unknown): readonly string[] {
  const issues = typeof data === "object" && data !== null ? (data as { readonly issues?: unknown }).issues : undefined;
  if (!Array.isArray(issues)) return [];
  return (issues as readonly { readonly path?: unknown; readonly message?: unknown }[])
    .slice(0, MAX_ISSUES)
    .map(({ path, message }) => `${String(path).slice(1)}: ${String(message)}`);
}

/** The command that a failure's data names. */
export function remedyOf(data: unknown): string | null {
  if (typeof data !== "object" || data === null) return null;
  const remedy = (data as { readonly remedy?: unknown }).remedy;
  return typeof remedy === "string" ? remedy : null;
}

function knownRemedy(code: string): string | null {
  const entry = (CODES as Readonly<Record<string, { readonly remedy: string | null } | undefined>>)[code];
  const remedy = entry?.remedy ?? null;
  return remedy === null || remedy.includes("{") ? null : remedy;
}

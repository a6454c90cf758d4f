import type { RumiError } from "@rumi/core";

/** Where a verb writes: lines for people, or one envelope for programs. */
export interface Output {
  readonly json: boolean;
  readonly colour: boolean;
  /** A line for people on standard output; nothing with `--json`. */
  line(text: string): void;
  /** A line for people on standard error. */
  complain(text: string): void;
  /** The one envelope, with `--json` only. */
  envelope(body: { readonly success: boolean; readonly data: unknown; readonly error: string | null; readonly code: string | null }): void;
}

/** Output of this process. */
export function processOutput(json: boolean): Output {
  return {
    json,
    colour: process.stdout.isTTY,
    line: (text) => {
      if (!json) process.stdout.write(`${text}\n`);
    },
    complain: (text) => {
      process.stderr.write(`${text}\n`);
    },
    envelope: (body) => {
      if (json) process.stdout.write(`${JSON.stringify(body)}\n`);
    },
  };
}

/** Tells a failed verb: code, sentence, remedy. */
export function tellFailure(output: Output, error: RumiError): void {
  output.complain(`rumid: ${error.message}`);
  if (error.remedy !== undefined) output.complain(`  try: ${error.remedy}`);
  output.envelope({
    success: false,
    data: error.remedy === undefined ? null : { remedy: error.remedy },
    error: error.message,
    code: error.code,
  });
}

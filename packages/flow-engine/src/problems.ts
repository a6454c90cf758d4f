import type { FlowLoadCode } from "./errors.ts";
import type { LoadProblem } from "./definition.ts";
import { MAX_PROBLEMS, MAX_SHOWN_CHARS } from "./limits.ts";

/** Gives the line and column (1-based) of an offset in the file. */
export type Locate = (offset: number) => { readonly line: number; readonly column: number };

/** Gathers everything one file says wrongly, so that an author sees all of it at once. */
export class Problems {
  readonly #file: string;
  readonly #locate: Locate;
  readonly #found: LoadProblem[] = [];
  #errors = 0;

  constructor(file: string, locate: Locate) {
    this.#file = file;
    this.#locate = locate;
  }

  get errors(): number {
    return this.#errors;
  }

  /** Line of an offset. */
  lineOf(offset: number): number {
    return this.#locate(offset).line;
  }

  error(code: FlowLoadCode, path: string, offset: number, message: string): void {
    this.#errors += 1;
    this.#add(code, "error", path, offset, message);
  }

  warn(code: FlowLoadCode, path: string, offset: number, message: string): void {
    this.#add(code, "warning", path, offset, message);
  }

  /** In file order; errors are kept before warnings when there are too many. */
  list(): LoadProblem[] {
    const bySeverity = this.#found.toSorted((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
    return bySeverity.slice(0, MAX_PROBLEMS).sort((a, b) => a.line - b.line || a.column - b.column);
  }

  #add(code: FlowLoadCode, severity: "error" | "warning", path: string, offset: number, message: string): void {
    if (this.#found.length >= MAX_PROBLEMS * 10) return;
    const { line, column } = this.#locate(offset);
    this.#found.push({ code, severity, file: this.#file, path, line, column, message });
  }
}

/** A value as shown in a message: cut, on one line. */
export function shown(text: string): string {
  const line = text.replaceAll(/\s+/gu, " ");
  return line.length > MAX_SHOWN_CHARS ? `${line.slice(0, MAX_SHOWN_CHARS)}…` : line;
}

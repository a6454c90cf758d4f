import type { FlowSource } from "./definition.ts";
import type { FlowFile } from "./flow-file.ts";
import { CHARS_PER_TURN } from "./limits.ts";
import { parseFlow } from "./parse-flow.ts";
import type { ParsedFlow } from "./parse-flow.ts";
import { parseModifier } from "./parse-modifier.ts";
import type { ParsedModifier } from "./parse-modifier.ts";
import type { KernelHandler } from "./ports.ts";
import { nextTurn } from "./waiting.ts";

export interface ParsedFilesOptions {
  readonly handlers: readonly KernelHandler[];
  /** `RUMI_MAX_FLOW_FILE_BYTES`. */
  readonly maxFileBytes?: number;
  /** `RUMI_MAX_MODIFIER_FILE_BYTES`. */
  readonly maxModifierBytes?: number;
}

interface Kept<T> {
  readonly text: string;
  readonly parsed: T;
}

/** What flow and modifier files parse to, remembered by place and text: a file that did not change is parsed once. */
export class ParsedFiles {
  readonly #options: ParsedFilesOptions;
  readonly #flows = new Map<string, Kept<ParsedFlow>>();
  readonly #modifiers = new Map<string, Kept<ParsedModifier>>();

  constructor(options: ParsedFilesOptions) {
    this.#options = options;
  }

  /** What the steps of these files may name. */
  get handlers(): readonly KernelHandler[] {
    return this.#options.handlers;
  }

  flow(file: FlowFile): ParsedFlow {
    return recall(this.#flows, file, ({ text, source }) =>
      parseFlow(text, source, { handlers: this.#options.handlers, ...maxBytes(this.#options.maxFileBytes) }),
    );
  }

  modifier(file: FlowFile): ParsedModifier {
    return recall(this.#modifiers, file, ({ text, source }) =>
      parseModifier(text, source, { handlers: this.#options.handlers, ...maxBytes(this.#options.maxModifierBytes) }),
    );
  }

  /** Parses all of these and forgets all others. Gives way to other work of the process between files. */
  async prepare(flows: readonly FlowFile[], modifiers: readonly FlowFile[]): Promise<void> {
    let chars = 0;
    const inTurns = async (files: readonly FlowFile[], parse: (file: FlowFile) => unknown): Promise<void> => {
      for (const file of files) {
        parse(file);
        chars += file.text.length;
        if (chars < CHARS_PER_TURN) continue;
        await nextTurn();
        chars = 0;
      }
    };
    keep(this.#flows, flows);
    keep(this.#modifiers, modifiers);
    await inTurns(flows, (file) => this.flow(file));
    await inTurns(modifiers, (file) => this.modifier(file));
  }
}

function recall<T>(known: Map<string, Kept<T>>, file: FlowFile, parse: (file: FlowFile) => T): T {
  const place = placeOf(file.source);
  const kept = known.get(place);
  if (kept !== undefined && kept.text === file.text) return kept.parsed;
  const parsed = parse(file);
  known.set(place, { text: file.text, parsed });
  return parsed;
}

function keep(known: Map<string, unknown>, files: readonly FlowFile[]): void {
  const places = new Set(files.map(({ source }) => placeOf(source)));
  for (const place of known.keys()) if (!places.has(place)) known.delete(place);
}

function placeOf({ source, pack_id: pack, file }: FlowSource): string {
  return `${source}/${pack ?? ""}/${file}`;
}

function maxBytes(bytes: number | undefined): { readonly maxFileBytes?: number } {
  return bytes === undefined ? {} : { maxFileBytes: bytes };
}

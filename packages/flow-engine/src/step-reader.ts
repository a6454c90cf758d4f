import type { Condition } from "./condition.ts";
import type { FlowDefaults, FlowSource, Step } from "./definition.ts";
import type { DocList, DocNode } from "./document.ts";
import type { Expression } from "./expression.ts";
import type { Fields } from "./fields.ts";
import type { KernelHandler } from "./ports.ts";
import type { Problems } from "./problems.ts";

export interface StepReaderContext {
  readonly source: FlowSource;
  readonly problems: Problems;
  readonly phases: readonly string[];
  readonly defaults: FlowDefaults;
  /** Null: unknown, names are checked by form. */
  readonly handlers: readonly KernelHandler[] | null;
}

/** What the readers of single step types need of the whole: the file's facts, and reading what is inside a step. */
export interface StepReader {
  readonly context: StepReaderContext;
  /** The steps of a container's field. `nesting` of the container itself: 1 for a top-level one. */
  nested(fields: Fields, name: string, nesting: number, required: boolean): Step[];
  nestedList(list: DocList, path: string, nesting: number): Step[];
  /** A condition field: text or a YAML boolean; null when absent or refused. */
  condition(fields: Fields, name: string): Condition | null;
  /** Compiles a field whose texts hold references. */
  expression(node: DocNode, path: string): Expression;
}

import type { BlockContext } from "./context.ts";

/** What a block may return. Values without a JSON form become their nearest one, with a warning. */
export type BlockAnswer = unknown;

/** A block: called once per step with the step's input. A generator's pieces are streamed. */
export type Block<Input, Output extends BlockAnswer> = (input: Input, context: BlockContext) => Output;

/**
 * Types a block and returns it unchanged; export it as `default` or as `run`.
 * `Input` is what the author expects: the flow decides what comes, so check what matters.
 */
export function defineBlock<Input = Record<string, never>, Output extends BlockAnswer = BlockAnswer>(
  run: Block<Input, Output>,
): Block<Input, Output> {
  return run;
}

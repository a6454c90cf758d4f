/** What a block may return. Values without a JSON form become their nearest one, with a warning. */

/** A block: called once per step with the step's input. A generator's pieces are streamed. */

/**
 * Types a block and returns it unchanged; export it as `default` or as `run`.
 * `Input` is what the author expects: the flow decides what comes, so check what matters.
 */
export function defineBlock(run) {
  return run;
}

import * as v from "valibot";

/** Folder of a pack's functions below its root, and the file that makes a folder of it one. Source: page "Flows", section 12. */
export const FUNCTIONS_FOLDER = "functions";
export const FUNCTION_FILE = "manifest.json";

/** `<function_id>`: also the name of its folder. */
export const FunctionId = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]{0,63}$/u));

/** Files looked for when no entrypoint is said, in order, with the function `run`. */
export const FUNCTION_ENTRY_FILES = ["main.py", "main.ts", "main.js", "main.mjs"] as const;

/** Seconds a function may take when nothing is said, and at most. */
export const FUNCTION_TIMEOUT_SECONDS = { standard: 30, most: 120 } as const;

const Permission = v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/u));
/** A service name: not a permission id's own business, and never the kernel's. */
const Alias = v.pipe(v.string(), v.maxLength(128), v.regex(/^(?!(?:kernel|system|core)\.)[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$/u));
const Aliases = v.optional(v.pipe(v.array(Alias), v.maxLength(32)), []);

/** `file:function` below the function's folder. */
export const Entrypoint = v.pipe(v.string(), v.maxLength(512), v.regex(/^[^:]+:[A-Za-z_][A-Za-z0-9_]{0,127}$/u));

/** `functions/<function_id>/manifest.json`. Unknown keys mean nothing. */
export const FunctionJson = v.object({
  function_id: FunctionId,
  entrypoint: v.optional(Entrypoint),
  requires: v.optional(v.pipe(v.array(Permission), v.maxLength(64)), []),
  caller_requires: v.optional(v.pipe(v.array(Permission), v.maxLength(64)), []),
  aliases: Aliases,
  vocab_aliases: Aliases,
  timeout_seconds: v.optional(
    v.pipe(v.number(), v.minValue(1), v.maxValue(FUNCTION_TIMEOUT_SECONDS.most)),
    FUNCTION_TIMEOUT_SECONDS.standard,
  ),
  description: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
  tags: v.optional(v.array(v.pipe(v.string(), v.maxLength(128))), []),
  risk: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
  input_schema: v.optional(v.unknown()),
  output_schema: v.optional(v.unknown()),
  /** Refused where true: host power is a capability handler's. */
  host_execution: v.optional(v.boolean(), false),
  runtime: v.optional(v.string()),
});
export type FunctionJson = v.InferOutput<typeof FunctionJson>;

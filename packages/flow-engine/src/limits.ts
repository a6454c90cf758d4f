import { MIB } from "@rumi/core";

// Source of every number: the flow page, sections 2, 3, 7 and 8.

/** Largest flow and largest modifier file, UTF-8 bytes; equal passes. */
export const MAX_FLOW_FILE_BYTES = MIB;
export const MAX_MODIFIER_FILE_BYTES = MIB;
/** Deepest container in a file, root 0. */
export const MAX_FILE_DEPTH = 32;
/** Keys, values and items of a file, aliases expanded. */
export const MAX_FILE_NODES = 10_000;
/** Deepest container in one step's input, root 0. */
export const MAX_STEP_INPUT_DEPTH = 20;
/** Steps of one flow, nested ones too. */
export const MAX_STEPS = 1_000;
/** Containers inside containers. */
export const MAX_CONTAINER_NESTING = 6;
/** Phases of one flow. */
export const MAX_PHASES = 64;
/** Characters of one condition. */
export const MAX_CONDITION_CHARS = 4_096;
/** Parentheses and `not`s inside each other. */
export const MAX_CONDITION_NESTING = 64;
/** Values, keys and characters (four of them count as one) that one condition looks at; two of the largest values fit. */
export const MAX_CONDITION_WORK = 4_000_000;
/** Characters of a value shown in a message. */
export const MAX_SHOWN_CHARS = 80;
/** Problems kept of one file; the rest adds nothing an author would read. */
export const MAX_PROBLEMS = 200;

/** Bytes of one expanded input and of one step's value, as compact JSON. */
export const MAX_VALUE_BYTES = 4 * MIB;
/** Containers inside each other in one value under `ctx`: a block's value may have 200 (the execution page, section 6). */
export const MAX_VALUE_DEPTH = 256;
/** Containers inside each other that are measured at all: a value under `ctx` and what a step or an answer puts around it. */
export const MAX_MEASURED_DEPTH = 512;
/** Bytes of everything a run holds under `ctx`, as compact JSON. */
export const MAX_CONTEXT_BYTES = 32 * MIB;
/** Step executions of one run, children included. */
export const MAX_STEP_EXECUTIONS = 100_000;
/** Block calls of one run at the same time; more wait. */
export const MAX_PARALLEL_BLOCK_CALLS = 16;
/** Flows in a chain of sub-flows, root 1. */
export const MAX_CHAIN = 10;
/** Items of one `foreach`. */
export const MAX_FOREACH_ITEMS = 10_000;
/** Characters of an abort's reason. */
export const MAX_REASON_CHARS = 500;

/** Root runs at once (`RUMI_MAX_CONCURRENT_FLOWS`). */
export const DEFAULT_CONCURRENT_RUNS = 10;
/** Run deadline of an API run, seconds: default, least, most, most of an async one. */
export const API_RUN_SECONDS = { standard: 300, least: 1, most: 600, mostAsync: 86_400 } as const;
/** Run deadline of a scheduled or boot run, seconds. */
export const BACKGROUND_RUN_SECONDS = 3_600;
/** Timeout of file calls and functions, and the most a step may ask, seconds. */
export const FILE_CALL_SECONDS = { standard: 60, most: 120 } as const;
export const FUNCTION_SECONDS = { standard: 30, most: 120 } as const;
export const MOST_STEP_SECONDS = 86_400;
/** Longest pause between attempts, seconds. */
export const MAX_RETRY_DELAY_SECONDS = 3_600;
/** What an aborted call gets to answer before its step ends without it, ms. */
export const CALL_ABORT_GRACE_MS = 10_000;
/** Steps run in one go before other work of the process gets its turn. */
export const STEPS_PER_TURN = 256;
/** Milliseconds steps run in one go before other work of the process gets its turn. */
export const MS_PER_TURN = 10;
/** Characters of files parsed in one go before other work of the process gets its turn: some 10 ms. */
export const CHARS_PER_TURN = 16 * 1024;
/** Failed steps listed of one run; the rest is in the audit log. */
export const MAX_FAILED_STEPS = 200;
/** Characters of a failure's message. */
export const MAX_MESSAGE_CHARS = 2_000;
/** Ended runs a runner remembers (without their results). */
export const REMEMBERED_RUNS = 1_000;
/** Warnings kept of one run. */
export const MAX_RUN_WARNINGS = 100;
/** Shortest and longest interval of a schedule, seconds. Source: the flow page, section 10. */
export const MIN_INTERVAL_SECONDS = 10;
export const MAX_INTERVAL_SECONDS = 31_536_000;
/** Times a run is taken up again after a crash. Source: the flow page, section 8. */
export const MAX_RESUMES = 3;

import { MIB } from "@rumi/core";

/** Longest run of a lib, ms. Source: page "Execution", section 10. */
export const LIB_TIMEOUT_MS = 120_000;

/** Failures of the same bytes after which a lib is left alone. Source: page "Flows", section 14.3. */
export const MAX_LIB_FAILURES = 3;

/** Most bytes of a pack's `/data` after a run that could write it. Source: page "Execution", section 4. */
export const MAX_DATA_BYTES = 256 * MIB;

/** Most files and folders in `/data`: more could not be looked at in a moment. Source: own; five times what a pack's tree may hold. */
export const MAX_DATA_ENTRIES = 100_000;

/** Deepest folder in `/data`: each level holds a file handle while it is looked at. Source: own; twice a pack's tree. */
export const MAX_DATA_DEPTH = 64;

/** How often `/data` is measured while a lib runs, ms: what fills the disk is ended long before its time is over. Source: own. */
export const DATA_WATCH_MS = 1_000;

/** Log lines of a run that are kept for its answer, the last ones, and characters of one. Source: own. */
export const MAX_KEPT_LINES = 100;
export const MAX_KEPT_LINE_CHARS = 500;

/** Bytes of log lines taken in per call. Source: page "Execution", section 6. */
export const MAX_LOG_BYTES = 256 * 1024;

/** Longest text of a returned value and of an error that is kept, characters. Source: page "Flows", section 14.1. */
export const MAX_KEPT_CHARS = 4 * 1024;

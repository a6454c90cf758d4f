/** Bytes in a mebibyte. */
export const MIB = 1024 * 1024;

/** One result, capability answer, egress answer or flow result. Source: the seeds' guide (4MB, RUMI_MAX_RESPONSE_BYTES). */
export const MAX_RESPONSE_BYTES = 4 * MIB;

/** Deepest JSON input that reaches a block. Source: page "Execution", gate 4. */
export const MAX_INPUT_DEPTH = 64;

/** Largest JSON file of a pack. Source: page "Trust", section 1. */
export const MAX_PACK_JSON_BYTES = 2 * MIB;

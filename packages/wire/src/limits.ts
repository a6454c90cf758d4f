import { MAX_RESPONSE_BYTES } from "@rumi/core";

/** The version this build speaks. Source: page "Execution", section 6. */
export const PROTOCOL_VERSION = 1;

/** Bytes of the big-endian length that opens a frame. */
export const LENGTH_BYTES = 4;

/** Longest header, in bytes. Source: page "Execution", section 6. */
export const MAX_HEADER_BYTES = 64 * 1024;

/** Room around a value inside its payload (`{"input":…,"context":…}`). */
export const PAYLOAD_SLACK_BYTES = 64 * 1024;

/** Longest payload unless the peer was told otherwise. Source: page "Execution", section 11 (results, inputs). */
export const MAX_PAYLOAD_BYTES = 2 * MAX_RESPONSE_BYTES + PAYLOAD_SLACK_BYTES;

/** Longest log line, in bytes. Source: page "Execution", section 6. */
export const MAX_LOG_LINE_BYTES = 8 * 1024;

/** Log lines kept of one call: each costs the host time, however short it is. */
export const MAX_CALL_LOG_LINES = 4 * 1024;

/** Log bytes kept of one call. Source: page "Execution", section 11 (`RUMI_CALL_LOG_BYTES`). */
export const MAX_CALL_LOG_BYTES = 256 * 1024;

/** Longest error text, in bytes. Source: page "Execution", section 2. */
export const MAX_MESSAGE_BYTES = 2 * 1024;

/** Longest traceback, in bytes. Source: page "Execution", section 2. */
export const MAX_TRACEBACK_BYTES = 4 * 1024;

/** Most warnings a result carries. */
export const MAX_WARNINGS = 32;

/** Deepest value a block may return. Source: page "Execution", section 7. */
export const MAX_RESULT_DEPTH = 200;

/** Deepest message of the capability and egress sockets: the deepest value there is, and what stands around it. */
export const MAX_JSON_FRAME_DEPTH = MAX_RESULT_DEPTH + 16;

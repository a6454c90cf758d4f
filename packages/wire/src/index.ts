export { WireError } from "./errors.ts";
export type { WireErrorCode } from "./errors.ts";
export { encodeFrame } from "./frame.ts";
export type { Frame } from "./frame.ts";
export { FrameDecoder } from "./frame-decoder.ts";
export type { FrameLimits } from "./frame-decoder.ts";
export { encodeJsonFrame, JsonFrameDecoder } from "./json-frame.ts";
export { isJsonTooDeep } from "./json-depth.ts";
export {
  LENGTH_BYTES,
  MAX_CALL_LOG_BYTES,
  MAX_HEADER_BYTES,
  MAX_CALL_LOG_LINES,
  MAX_JSON_FRAME_DEPTH,
  MAX_LOG_LINE_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_RESULT_DEPTH,
  MAX_TRACEBACK_BYTES,
  MAX_WARNINGS,
  PAYLOAD_SLACK_BYTES,
  PROTOCOL_VERSION,
} from "./limits.ts";
export {
  Call,
  Cancel,
  Chunk,
  Convention,
  Drain,
  Fault,
  Hello,
  HostMessage,
  Log,
  parseHostMessage,
  parseRunnerMessage,
  Ping,
  Pong,
  Ready,
  Result,
  ResultKind,
  RunnerMessage,
  RunnerRoots,
  Started,
} from "./messages.ts";

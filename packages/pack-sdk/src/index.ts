export type { CapabilityAnswer, HttpAnswer, NetworkCheck } from "./answers.ts";
export { defineBlock } from "./block.ts";
export type { Block, BlockAnswer } from "./block.ts";
export { call, getSecret, store } from "./capability.ts";
export type { CallOptions } from "./capability.ts";
export type { BlockContext } from "./context.ts";
export { del, get, head, httpRequest, networkCheck, patch, post, postJson, put } from "./http.ts";
export type { HttpOptions } from "./http.ts";

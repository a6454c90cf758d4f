export { defineBlock } from "./block.mjs";

export { call, getSecret, store } from "./capability.mjs";

export { del, get, head, httpRequest, networkCheck, patch, post, postJson, put } from "./http.mjs";

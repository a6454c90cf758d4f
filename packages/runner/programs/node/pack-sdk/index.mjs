export { defineBlock } from "./block.mjs";

export { call, getSecret } from "./capability.mjs";

export { del, get, head, httpRequest, networkCheck, patch, post, postJson, put, stream } from "./http.mjs";

export { store } from "./store.mjs";

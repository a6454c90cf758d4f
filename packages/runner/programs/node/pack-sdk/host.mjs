/** What the runner gives to the code inside a sandbox. Nothing of it throws. */

const HOST = Symbol.for("rumi.host");
const NO_HOST = { error: "this block has no such socket", error_type: "socket_not_found" };

function noAnswer(url) {
  return {
    success: false,
    status_code: 0,
    headers: {},
    body: "",
    latency_ms: 0,
    redirect_hops: 0,
    bytes_read: 0,
    final_url: url,
    ...NO_HOST,
  };
}

async function* noPieces(url) {
  yield await Promise.resolve({ type: "end", ...noAnswer(url) });
}

/** The answers of a place that is no sandbox, such as an author's own tests. */
const nowhere = {
  httpRequest: (_method, url) => Promise.resolve(noAnswer(url)),
  httpStream: (_method, url) => noPieces(url),
  networkCheck: () => Promise.resolve({ allowed: false, reason: NO_HOST.error }),
  call: () => Promise.resolve({ success: false, output: { success: false, ...NO_HOST }, latency_ms: 0, ...NO_HOST }),
};

/** The runner's host functions, or ones that answer `socket_not_found`. */
export function host() {
  const place = globalThis;
  return place[HOST] ?? nowhere;
}

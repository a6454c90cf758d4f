import type { SocketOwner } from "@rumi/core";

/** A signal that ends with a call, and with its instance at the latest. */
export interface CallLife {
  readonly signal: AbortSignal;
  /** Forgets it. */
  [Symbol.dispose](): void;
}

/**
 * The life of the call that asks. A message that named its call ends with that one. One that named none may belong to any call in
 * flight: it ends when a call has ended and none is left.
 */
export function callLife(owner: SocketOwner, callId: string | undefined): CallLife {
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  let forget = (): void => undefined;
  const follow = (): void => {
    const { call } = owner.caller(callId);
    if (call === null || ended.signal.aborted) return;
    let over = false;
    const unfollow = owner.onCallEnd(call.call_id, () => {
      over = true;
      if (call.call_id === callId || owner.caller().call === null) stop();
      else queueMicrotask(follow);
    });
    if (!over) forget = unfollow;
  };
  if (owner.gone.aborted) stop();
  owner.gone.addEventListener("abort", stop, { once: true });
  follow();
  return {
    signal: ended.signal,
    [Symbol.dispose]: () => {
      forget();
      owner.gone.removeEventListener("abort", stop);
    },
  };
}

import { sha256 } from "@rumi/core";
import type { InFlightCall, PackId, SocketOwner } from "@rumi/core";

/** An instance behind a socket, steered by the test. */
export interface FakeOwner extends SocketOwner {
  /** The instance goes. */
  leave(): void;
  /** One of its calls ends. */
  endCall(callId: string): void;
}

/** An instance of a pack with these calls in flight. */
export function fakeOwner(principal: string, calls: readonly InFlightCall[] = []): FakeOwner {
  const abort = new AbortController();
  const listeners = new Map<string, Set<() => void>>();
  return {
    gone: abort.signal,
    caller: (callId) => ({
      principal: principal as PackId,
      digest: sha256(principal),
      instance_id: `instance-of-${principal}`,
      execution_mode: "container",
      call: calls.find((call) => call.call_id === callId) ?? calls[0] ?? null,
    }),
    onCallEnd: (callId, listener) => {
      const those = listeners.get(callId) ?? new Set();
      listeners.set(callId, those.add(listener));
      return () => void those.delete(listener);
    },
    leave: () => abort.abort(),
    endCall: (callId) => {
      for (const listener of listeners.get(callId) ?? []) listener();
    },
  };
}

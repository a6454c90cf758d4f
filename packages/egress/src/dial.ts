import { connect } from "node:net";
import type { Socket } from "node:net";

/** One address to connect to, as it was checked. */
export interface Destination {
  /** An IP address in text form, never a name. */
  readonly address: string;
  readonly port: number;
}

/**
 * Opens a TCP connection to exactly that address. Rejects when it cannot, or when `signal` aborts; no socket is left then.
 * Tests give one that leads to a server of their own.
 */
export type Connector = (destination: Destination, signal: AbortSignal) => Promise<Socket>;

/** Connects as the machine does. */
export const systemConnector: Connector = ({ address, port }, signal) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, noDelay: true });
    const abort = (): void => {
      socket.destroy();
      reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", (error) => {
      signal.removeEventListener("abort", abort);
      reject(error);
    });
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });

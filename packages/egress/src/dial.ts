import { connect } from "node:net";
import type { Socket } from "node:net";
import type { JudgedAddress } from "./address-class.ts";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { NEXT_ADDRESS_MS } from "./limits.ts";

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
    if (signal.aborted) return reject(new Error("aborted"));
    const socket = connect({ host: address, port, noDelay: true });
    const abort = (): void => {
      socket.destroy();
      reject(new Error("aborted"));
    };
    const failed = (error: Error): void => {
      signal.removeEventListener("abort", abort);
      reject(error);
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", failed);
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.on("error", () => undefined);
      socket.removeListener("error", failed);
      resolve(socket);
    });
  });

/** A connection, and which of the checked addresses it leads to. */
export interface Dialled {
  readonly socket: Socket;
  readonly address: string;
}

/**
 * Connects to the first of the checked addresses that answers: in their order, each a quarter of a second after the one before
 * it or as soon as that one fails. Those that lose are closed.
 */
export async function dialFirst(
  connector: Connector,
  asked: { readonly addresses: readonly JudgedAddress[]; readonly port: number; readonly connectMs: number },
  signal: AbortSignal,
): Promise<Dialled | Fault> {
  const losers = new AbortController();
  const stop = (): void => losers.abort();
  signal.addEventListener("abort", stop, { once: true });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    losers.abort();
  }, asked.connectMs);
  try {
    const won = await race(connector, asked.addresses, asked.port, losers.signal);
    if (won !== null) return won;
    const all = { address: asked.addresses[0]?.address ?? "", class: asked.addresses[0]?.class ?? "invalid" };
    return timedOut ? fault("timeout", 9, "Connecting timed out", all) : fault("connection_refused", 9, "Connection refused", all);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    losers.abort();
  }
}

function race(connector: Connector, addresses: readonly JudgedAddress[], port: number, signal: AbortSignal): Promise<Dialled | null> {
  return new Promise((resolve) => {
    let settled = false;
    let open = 0;
    let next = 0;
    let timer: NodeJS.Timeout | undefined;
    const settle = (won: Dialled | null): void => {
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      resolve(won);
    };
    const aborted = (): void => {
      if (!settled) settle(null);
    };
    const tryNext = (): void => {
      clearTimeout(timer);
      const one = addresses[next++];
      if (one === undefined || settled) return;
      open++;
      timer = setTimeout(tryNext, NEXT_ADDRESS_MS);
      connector({ address: one.address, port }, signal).then(
        (socket) => {
          socket.on("error", () => undefined);
          if (settled) socket.destroy();
          else settle({ socket, address: one.address });
        },
        () => {
          open--;
          if (settled) return;
          if (next < addresses.length) tryNext();
          else if (open === 0) settle(null);
        },
      );
    };
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) settle(null);
    else tryNext();
  });
}

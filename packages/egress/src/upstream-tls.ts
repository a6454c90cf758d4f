import type { Socket } from "node:net";
import { connect, createSecureContext, getCACertificates } from "node:tls";
import type { SecureContext, TLSSocket } from "node:tls";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";

/** The roots of this machine: those of Node (with `NODE_EXTRA_CA_CERTS`) and those of the system. Read once, at first use. */
export class TrustedRoots {
  #context: SecureContext | null = null;

  context(): SecureContext {
    this.#context ??= createSecureContext({
      ca: [...new Set([...getCACertificates("default"), ...getCACertificates("system")])],
      minVersion: "TLSv1.2",
    });
    return this.#context;
  }
}

/**
 * TLS over `socket`, to a server that proves to be `host`. `literal`: host is an address, which has no SNI. The socket is closed
 * when it fails.
 */
export function secure(
  socket: Socket,
  asked: { readonly host: string; readonly literal: boolean; readonly timeoutMs: number; readonly roots: TrustedRoots },
  signal: AbortSignal,
): Promise<TLSSocket | Fault> {
  return new Promise((resolve) => {
    const tls = connect({
      socket,
      host: asked.host,
      ...(asked.literal ? {} : { servername: asked.host }),
      secureContext: asked.roots.context(),
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ALPNProtocols: ["http/1.1"],
    });
    const end = (answer: TLSSocket | Fault): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      if (answer !== tls) tls.destroy();
      resolve(answer);
    };
    const abort = (): void => end(fault("cancelled", 9, "Cancelled"));
    const timer = setTimeout(() => end(fault("timeout", 9, "The TLS handshake timed out")), asked.timeoutMs);
    tls.on("error", (error: NodeJS.ErrnoException) => {
      const reason = `TLS failed: ${error.code ?? error.message}`;
      end(fault("ssl_error", 9, reason));
    });
    tls.once("close", () => end(fault("ssl_error", 9, "TLS failed: the connection was closed")));
    tls.once("secureConnect", () => end(tls));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

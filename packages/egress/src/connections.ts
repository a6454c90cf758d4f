import type { PackId } from "@rumi/core";
import { Client } from "undici";
import type { JudgedAddress } from "./address-class.ts";
import { dialFirst } from "./dial.ts";
import type { Connector } from "./dial.ts";
import type { Fault } from "./fault.ts";
import { isFault } from "./fault.ts";
import { KEEP_ALIVE_MS, MAX_IDLE, MAX_IDLE_PER_PRINCIPAL, MAX_RESPONSE_HEADER_BYTES } from "./limits.ts";
import type { Target } from "./target-url.ts";
import { secure, TrustedRoots } from "./upstream-tls.ts";

/** One connection to a checked address, taken for one request. */
export interface Connection {
  readonly client: Client;
  readonly address: string;
  /** False for one that served a request before. */
  readonly fresh: boolean;
  /** Keeps it for the next request of the same principal, origin and address, if the server does. */
  release(): void;
  /** Closes it. */
  destroy(): void;
}

interface Kept {
  readonly client: Client;
  readonly key: string;
  readonly principal: PackId;
  readonly address: string;
  alive: boolean;
}

/** What a connection is asked for. The addresses were checked just now. */
export interface ConnectionAsk {
  readonly principal: PackId;
  readonly target: Target;
  readonly addresses: readonly JudgedAddress[];
  readonly connectMs: number;
}

/** Connections to upstream servers: one request at a time on each, idle ones kept for a while. Never shared between principals. */
export class Connections {
  readonly #connector: Connector;
  readonly #roots = new TrustedRoots();
  readonly #idle = new Map<string, Kept[]>();
  readonly #all = new Set<Client>();
  #idleCount = 0;

  constructor(deps: { readonly connect: Connector }) {
    this.#connector = deps.connect;
  }

  async take(ask: ConnectionAsk, signal: AbortSignal): Promise<Connection | Fault> {
    for (const { address } of ask.addresses) {
      const kept = this.#takeIdle(keyOf(ask, address));
      if (kept !== null) return this.#lend(kept, false);
    }
    return this.open(ask, signal);
  }

  /** A connection that served nothing before. */
  async open(ask: ConnectionAsk, signal: AbortSignal): Promise<Connection | Fault> {
    const { target, connectMs } = ask;
    const started = performance.now();
    const dialled = await dialFirst(this.#connector, { addresses: ask.addresses, port: target.port, connectMs }, signal);
    if (isFault(dialled)) return dialled;
    const left = Math.max(1, connectMs - (performance.now() - started));
    const socket =
      target.scheme === "http"
        ? dialled.socket
        : await secure(dialled.socket, { host: target.host, literal: target.literal, timeoutMs: left, roots: this.#roots }, signal);
    if (isFault(socket)) return { ...socket, address: dialled.address, class: ask.addresses[0]?.class ?? "invalid" };
    let given = false;
    const client = new Client(target.origin, {
      // The one socket that leads to the checked address; a client never opens another one.
      connect: (_options, callback) => {
        const first = !given;
        given = true;
        queueMicrotask(() => (first ? callback(null, socket) : callback(new Error("the connection is gone"), null)));
      },
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    });
    this.#all.add(client);
    const kept: Kept = { client, key: keyOf(ask, dialled.address), principal: ask.principal, address: dialled.address, alive: true };
    client.on("disconnect", () => this.#drop(kept));
    client.on("connectionError", () => this.#drop(kept));
    return this.#lend(kept, true);
  }

  /** Closes every connection. */
  async close(): Promise<void> {
    for (const kept of [...this.#idle.values()].flat()) this.#drop(kept);
    await Promise.all([...this.#all].map((client) => client.destroy()));
  }

  #takeIdle(key: string): Kept | null {
    const list = this.#idle.get(key);
    const kept = list?.pop() ?? null;
    if (list?.length === 0) this.#idle.delete(key);
    if (kept !== null) this.#idleCount--;
    return kept;
  }

  #lend(kept: Kept, fresh: boolean): Connection {
    return {
      client: kept.client,
      address: kept.address,
      fresh,
      // The client decides about its socket once the answer's last byte was handed over.
      release: () => void setImmediate(() => this.#keep(kept)),
      destroy: () => this.#drop(kept),
    };
  }

  #keep(kept: Kept): void {
    if (!kept.alive) return;
    const own = [...this.#idle.values()].reduce((sum, list) => sum + list.filter((one) => one.principal === kept.principal).length, 0);
    if (own >= MAX_IDLE_PER_PRINCIPAL || this.#idleCount >= MAX_IDLE) return this.#drop(kept);
    const list = this.#idle.get(kept.key);
    if (list === undefined) this.#idle.set(kept.key, [kept]);
    else list.push(kept);
    this.#idleCount++;
  }

  #drop(kept: Kept): void {
    kept.alive = false;
    const list = this.#idle.get(kept.key);
    const at = list?.indexOf(kept) ?? -1;
    if (list !== undefined && at >= 0) {
      list.splice(at, 1);
      this.#idleCount--;
      if (list.length === 0) this.#idle.delete(kept.key);
    }
    this.#all.delete(kept.client);
    kept.client.destroy().catch(() => undefined);
  }
}

function keyOf(ask: ConnectionAsk, address: string): string {
  return `${ask.principal} ${ask.target.origin} ${address}`;
}

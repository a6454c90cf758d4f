import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import type { RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { TRUSTED_CERTIFICATE } from "@rumi/egress/testing";
import { DaemonProcess } from "./daemon-process.ts";
import type { Answer, RunData, TestHome } from "./daemon-process.ts";

/** An address that is nobody's here and global everywhere. */
export const OUTSIDE_ADDRESS = "93.184.216.34";

/** A server of the outside on a port of this machine. `tls`: for names below `rumi.example`. */
export async function outsideServer(
  answer: RequestListener,
  options: { readonly tls?: boolean } = {},
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = options.tls === true ? createHttpsServer(TRUSTED_CERTIFICATE, answer) : createHttpServer(answer);
  await new Promise<void>((resolve) => (server as Server).listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What a daemon of a test takes for the outside. */
export interface World {
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** What a name's every lookup after the first says. */
  readonly later?: Readonly<Record<string, readonly string[]>>;
  readonly ports: Readonly<Record<string, number>>;
}

/** Limits that a test's own traffic does not reach. */
export const NO_LIMITS = {
  RUMI_API_RATE_LIMIT: "10000000",
  RUMI_API_ADDRESS_RATE_LIMIT: "10000000",
  RUMI_EGRESS_RATE_LIMIT: "100000",
} as const;

/** The real daemon, whose names and addresses lead where `world` says, and which trusts its servers. */
export async function startInWorld(home: TestHome, world: World, env: Readonly<Record<string, string>> = {}): Promise<DaemonProcess> {
  const trusted = home.at("trusted.pem");
  await writeFile(trusted, TRUSTED_CERTIFICATE.cert);
  return DaemonProcess.start(
    home,
    { ...NO_LIMITS, NODE_EXTRA_CA_CERTS: trusted, TEST_OUTSIDE: JSON.stringify(world), ...env },
    [],
    [],
    new URL("daemon-with-outside.ts", import.meta.url),
  );
}

/** Approves and gives rights, one by one. @throws Error when one is refused */
export async function approveWith(
  daemon: DaemonProcess,
  pack: string,
  rights: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
): Promise<void> {
  const must = (answer: { readonly status: number; readonly body: unknown }): void => {
    if (answer.status !== 200) throw new Error(`${pack}: ${JSON.stringify(answer.body)}`);
  };
  must(await daemon.approve(pack));
  for (const [permission, config] of Object.entries(rights)) {
    must(await daemon.post("/api/capability/grants/grant", { principal_id: pack, permission_id: permission, config }));
  }
}

/** What the one step of a hostile pack's flow answered. @throws Error when it did not run to its end */
export function answerOf<T>({ body }: Answer<RunData>): T {
  const { data } = body;
  if (data.state !== "completed" || data.failed_steps.length > 0 || data.result === null)
    throw new Error(JSON.stringify(body).slice(0, 2000));
  return data.result["answer"] as T;
}

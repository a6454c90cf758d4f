import type { JsonObject } from "@rumi/core";
import type { HttpAnswer, NetworkCheck } from "./answers.ts";

/** What a block is told about its call, beside its input. The same keys as in Python. */
export interface BlockContext {
  readonly flow_id: string;
  readonly step_id: string;
  readonly phase: string;
  /** When the call was made, ISO 8601. */
  readonly ts: string;
  /** The pack this block belongs to and acts as. */
  readonly owner_pack: string;
  readonly inputs: JsonObject;
  readonly run_id: string;
  /** The same for every attempt of this step in this run. */
  readonly idempotency_key: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** When the call is ended at the latest, ISO 8601. */
  readonly deadline_ts: string;
  /** Path of the socket for capability calls; null where there is none. */
  readonly capability_socket: string | null;
  readonly resources_dir?: string;
  http_request(
    method: string,
    url: string,
    headers?: Readonly<Record<string, string>> | null,
    body?: string | Uint8Array | null,
    timeoutSeconds?: number,
    idempotent?: boolean,
  ): Promise<HttpAnswer>;
  network_check(domain: string, port: number): Promise<NetworkCheck>;
}

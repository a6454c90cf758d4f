import type { FakeHouse } from "./fake-house.ts";

/** Where the fake house seems to listen. */
export const BASE = "http://127.0.0.1:8765";

/** An answer, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: { success: boolean; data: Record<string, unknown> | null; error: string | null; code: string | null };
}

/** Asks a fake house, through its app, without a socket. */
export async function ask(
  house: FakeHouse,
  method: string,
  path: string,
  init: { token?: string; headers?: Record<string, string>; body?: NonNullable<RequestInit["body"]> } = {},
): Promise<Answer> {
  const headers: Record<string, string> = { ...init.headers };
  if (init.token !== undefined) headers["Authorization"] = `Bearer ${init.token}`;
  if (init.body !== undefined) headers["Content-Type"] ??= "application/json";
  const request: RequestInit & { duplex?: "half" } = { method, headers };
  if (init.body !== undefined) {
    request.body = init.body;
    request.duplex = "half";
  }
  const response = await house.api.app.request(BASE + path, request);
  const text = await response.text();
  const json = (text === "" ? {} : JSON.parse(text)) as Answer["json"];
  return { status: response.status, headers: response.headers, text, json };
}

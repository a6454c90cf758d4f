import { Buffer } from "node:buffer";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { canonicalHost, portNumber, urlHost } from "./host-name.ts";
import { MAX_URL_BYTES } from "./limits.ts";

/** Where a request goes, canonical. */
export interface Target {
  readonly scheme: "http" | "https";
  readonly host: string;
  /** True for an address: nothing is resolved. */
  readonly literal: boolean;
  readonly port: number;
  /** Path and query, with the leading `/`. */
  readonly path: string;
  /** `scheme://host:port`, always with its port. */
  readonly origin: string;
  /** The whole, without fragment, as answers show it. */
  readonly url: string;
}

const DEFAULT_PORT = { http: 80, https: 443 } as const;

/** Rule 3: the target of a pack-controlled URL, or what is wrong with it. */
export function parseTarget(text: string): Target | Fault {
  const refuse = (rule: string): Fault => fault("validation_error", 3, rule);
  if (Buffer.byteLength(text) > MAX_URL_BYTES) return refuse(`url is over ${MAX_URL_BYTES} bytes`);
  if (/[\u0000-\u0020\u007f\\]/u.test(text)) return refuse("url holds a blank, a control character or a backslash");
  const parts = /^(https?):\/\/([^/?#]+)([^#]*)/iu.exec(text);
  if (parts === null) return refuse("url must begin with http:// or https:// and a host");
  const scheme = (parts[1] ?? "").toLowerCase() === "https" ? "https" : "http";
  const authority = parts[2] ?? "";
  if (authority.includes("@")) return refuse("url must not hold user information");
  const split = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/u.exec(authority);
  const host = split === null ? null : canonicalHost(split[1] ?? "");
  if (host === null || (split?.[1]?.includes(":") === true) !== (host.kind === "ipv6")) return refuse("url has no valid host");
  const port = split?.[2] === undefined || split[2] === "" ? DEFAULT_PORT[scheme] : portNumber(split[2]);
  if (port === null) return refuse("url has no valid port");
  const parsed = URL.parse(`${scheme}://${urlHost(host.host)}${parts[3] ?? ""}`);
  if (parsed === null) return refuse("url has no valid path");
  const path = `${parsed.pathname}${parsed.search}`;
  const shown = port === DEFAULT_PORT[scheme] ? "" : `:${port}`;
  return {
    scheme,
    host: host.host,
    literal: host.kind !== "name",
    port,
    path,
    origin: `${scheme}://${urlHost(host.host)}:${port}`,
    url: `${scheme}://${urlHost(host.host)}${shown}${path}`,
  };
}

/** Where a redirect leads, seen from `from`. `location` is the server's. */
export function redirectTarget(from: Target, location: string): Target | Fault {
  const parsed = URL.parse(location, from.url);
  return parsed === null ? fault("validation_error", 10, "redirect leads to no valid url") : parseTarget(parsed.href);
}

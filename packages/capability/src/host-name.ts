import { domainToASCII } from "node:url";

/** Longest name in DNS, without the last dot. */
const MAX_NAME = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/u;
/** ASCII that no host name holds; what is past ASCII is judged by the IDNA rules. */
const NOT_IN_NAMES = /[\u0000-\u0020!"#$%&'()*+,/:;<=>?@[\\\]^`{|}~\u007f]/u;

/**
 * The one form of a host: a name as A-label in lower case without trailing dot, IPv4 in four decimal parts, IPv6 as RFC 5952
 * has it, without brackets. Null for anything else (ports, wildcards, zone ids, blanks). `text` is pack-controlled.
 */
export function canonicalHost(text: string): string | null {
  if (text.length > MAX_NAME * 4) return null;
  if (text.includes(":")) return canonicalIpv6(text);
  if (text === "" || NOT_IN_NAMES.test(text) || !text.isWellFormed()) return null;
  const ascii = domainToASCII(text).replace(/\.$/u, "");
  if (ascii.length > MAX_NAME || !ascii.split(".").every((label) => LABEL.test(label))) return null;
  return ascii;
}

/** True for a canonical host that is an address. */
export function isAddress(host: string): boolean {
  return host.includes(":") || /(?:^|\.)[0-9]+$/u.test(host);
}

/** True for a canonical address that is reached over the public internet itself, not through a mapping into another family. */
export function isGlobalAddress(address: string): boolean {
  if (!address.includes(":")) {
    const value = ipv4Value(address);
    return !NOT_GLOBAL_V4.some(([base, bits]) => value >>> (32 - bits) === ipv4Value(base) >>> (32 - bits));
  }
  const groups = ipv6Groups(address);
  const [first = 0, second = 0] = groups;
  const global = first >>> 13 === 1; // 2000::/3
  const special = (first === 0x2001 && (second < 0x200 || second === 0xdb8)) || first === 0x2002 || (first === 0x3fff && second < 0x1000);
  return global && !special;
}

/** Source: page "Execution and egress", section 9, classes. */
const NOT_GLOBAL_V4: readonly (readonly [base: string, bits: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

function ipv4Value(address: string): number {
  return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

function ipv6Groups(address: string): number[] {
  const [head = "", tail = ""] = address.split("::");
  const parse = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const [left, right] = [parse(head), parse(tail)];
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

function canonicalIpv6(text: string): string | null {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (!/^[0-9a-fA-F:.]{2,45}$/u.test(bare)) return null;
  return URL.parse(`http://[${bare}]/`)?.hostname.slice(1, -1) ?? null;
}

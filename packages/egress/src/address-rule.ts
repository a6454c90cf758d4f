import { networkInterfaces } from "node:os";
import type { AddressClass, JudgedAddress } from "./address-class.ts";
import { judgeAddress } from "./address-class.ts";
import type { Fault } from "./fault.ts";
import { blocked } from "./fault.ts";
import { canonicalHost, canonicalPair } from "./host-name.ts";

/** A listener of the daemon or of the engine: no request ever reaches it, whatever is granted. */
export interface OwnAddress {
  /** An IP address, or the wildcard `0.0.0.0` or `::`; a name is compared with the URL's host. */
  readonly host: string;
  readonly port: number;
}

/** Classes that `allow_private` can open. Never link-local (metadata services), multicast or reserved ones. */
const OPENABLE: ReadonlySet<AddressClass> = new Set<AddressClass>(["loopback", "private", "shared", "unique_local"]);

/** Rule 8 for every address of a host: the addresses that may be dialled, or why none may. */
export function checkAddresses(
  asked: { readonly host: string; readonly port: number },
  addresses: readonly string[],
  allowed: { readonly allowPrivate: readonly string[]; readonly own: readonly OwnAddress[] },
): readonly JudgedAddress[] | Fault {
  const judged = addresses.map((address) => judgeAddress(address));
  const pairs = judged.every((one) => one.class === "global") ? [] : allowed.allowPrivate.map((pair) => canonicalPair(pair));
  for (const one of judged) {
    const facts = { class: one.class, address: one.address };
    if (isOwn(asked, one, allowed.own)) return blocked(8, "the address is a listener of the daemon or the engine", facts);
    if (one.class === "global") continue;
    const named = pairs.some((pair) => pair?.port === asked.port && (pair.host === asked.host || pair.host === one.address));
    if (one.inside !== null || !OPENABLE.has(one.class) || !named) return blocked(8, `the address is not outside: ${one.class}`, facts);
  }
  return judged;
}

/** True when every address is outside. */
export function allGlobal(judged: readonly JudgedAddress[]): boolean {
  return judged.every((one) => one.class === "global");
}

function isOwn(asked: { readonly host: string; readonly port: number }, one: JudgedAddress, own: readonly OwnAddress[]): boolean {
  const here = own.filter(({ port }) => port === asked.port);
  if (here.length === 0) return false;
  if (one.class === "loopback" || one.class === "unspecified") return true;
  // An IPv6 form of an IPv4 address may lead to that one.
  const reached = [asked.host, one.address, one.inside ?? one.address];
  if (here.some(({ host }) => reached.includes(canonicalHost(host)?.host ?? host))) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((entry) => reached.includes(judgeAddress(entry.address).address)));
}

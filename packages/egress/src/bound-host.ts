import type { PackId } from "@rumi/core";
import { judgeAddress } from "./address-class.ts";
import type { ResponseScrubber, SecretBroker } from "./ports.ts";

/** What searches a host's answers to `principal`. An address, in any of its forms, stands for the hosts that secrets went to there. */
export function scrubberOf(
  secrets: SecretBroker,
  principal: PackId,
  { host, literal }: { readonly host: string; readonly literal: boolean },
): ResponseScrubber | null {
  const bound = secrets.scrubber(principal, host);
  if (bound !== null || !literal) return bound;
  const { inside } = judgeAddress(host);
  return inside === null ? null : secrets.scrubber(principal, inside);
}

/** Tells the broker to which address the secrets of a request are about to go. */
export function noteSent(secrets: SecretBroker, principal: PackId, address: string, keys: readonly string[]): void {
  if (keys.length > 0) secrets.sent?.(principal, judgeAddress(address).inside ?? address, keys);
}

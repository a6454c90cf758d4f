import { SecretKey } from "@rumi/core";
import type { PackId, PermissionId } from "@rumi/core";
import { isBound } from "@rumi/capability";
import type { EffectiveGrant, GrantBook } from "@rumi/capability";
import type { RequestParts, ResponseScrubber, SecretBroker } from "@rumi/egress";
import { fillPlaceholders, findPlaceholders } from "@rumi/secrets";
import type { BindingWatch, LiveSecrets, SecretPlaceholder } from "@rumi/secrets";
import * as v from "valibot";
import { allowList } from "./allow-list.ts";
import type { SecretReader } from "./ports.ts";
import { SECRET_DENIED } from "./secrets-get.ts";

const SECRETS_USE = "secrets.use" as PermissionId;

/** Shortest value that is put into requests: a shorter one cannot be taken out of answers safely. Source: page "Trust", section 9. */
const MIN_BROKERED_BYTES = 8;

export interface GrantedSecretBrokerDeps {
  readonly grants: Pick<GrantBook, "effective" | "take">;
  readonly secrets: SecretReader;
  readonly live: Pick<LiveSecrets, "scrubber">;
  readonly watch: Pick<BindingWatch, "suspended" | "note" | "noteSent" | "sentTo">;
}

/**
 * Puts secrets into requests under `secrets.use`, and takes them out of what comes back: the pack never holds a value. Every
 * refusal has one text for the pack.
 */
export class GrantedSecretBroker implements SecretBroker {
  readonly #deps: GrantedSecretBrokerDeps;

  constructor(deps: GrantedSecretBrokerDeps) {
    this.#deps = deps;
  }

  /** Placeholders that are not in order count as some: the request goes to `fill`, which refuses it. */
  keys(parts: RequestParts): readonly string[] {
    const found = findPlaceholders(parts);
    if (!found.ok) return ["(not in order)"];
    return [...new Set(found.placeholders.map((placeholder) => placeholder.key))];
  }

  async fill(
    ask: { readonly principal: PackId; readonly host: string; readonly port: number; readonly secure: boolean },
    parts: RequestParts,
  ): ReturnType<SecretBroker["fill"]> {
    const found = findPlaceholders(parts);
    if (!found.ok) return refuse(found.reason);
    if (!ask.secure) return refuse("secrets go over https, or to a pair of allow_private, only");
    const held = this.#deps.grants.effective(ask.principal, SECRETS_USE);
    if (!held.allowed) return refuse(held.reason);
    for (const placeholder of found.placeholders) {
      const reason = this.#outside(ask, placeholder, held);
      if (reason !== null) return refuse(reason);
    }
    if (!this.#deps.grants.take(ask.principal, held)) return refuse("a limit of the grant secrets.use is reached");
    const keys = [...new Set(found.placeholders.map((placeholder) => placeholder.key))];
    const values = new Map<SecretKey, string>();
    for (const key of keys) {
      const value = await this.#deps.secrets.read(key);
      if (value === null) return refuse(`there is no readable secret ${key}`);
      if (Buffer.byteLength(value) < MIN_BROKERED_BYTES) return refuse(`the secret ${key} is too short to be taken out of answers`);
      values.set(key, value);
    }
    const filled = fillPlaceholders(parts, values);
    if (!filled.ok) return refuse(filled.reason);
    for (const key of keys) await this.#deps.watch.noteSent(ask.principal, key, ask.host);
    return { allowed: true, parts: filled.parts, keys };
  }

  /** The host may be asked by its address later. */
  sent(principal: PackId, address: string, keys: readonly string[]): void {
    for (const key of keys) void this.#deps.watch.noteSent(principal, v.parse(SecretKey, key), address).catch(() => undefined);
  }

  scrubber(principal: PackId, host: string): ResponseScrubber | null {
    const keys = new Set(this.#deps.watch.sentTo(principal, host));
    const held = this.#deps.grants.effective(principal, SECRETS_USE);
    if (held.allowed) {
      for (const binding of allowList(held.config, "allowed_bindings")) {
        const key = v.safeParse(SecretKey, binding.slice(0, Math.max(0, binding.indexOf("@"))));
        if (key.success && isBound(held.config, key.output, host)) keys.add(key.output);
      }
    }
    if (keys.size === 0) return null;
    // Guesses need no placeholder: while a binding is suspended, what its host says would still tell which are right.
    const withhold = [...keys].some((key) => this.#deps.watch.suspended(principal, key));
    return this.#deps.live.scrubber(keys, {
      withhold,
      onPartial: (key) => void this.#deps.watch.note(principal, key).catch(() => undefined),
    });
  }

  #outside(
    ask: { readonly principal: PackId; readonly host: string },
    { key, slot }: SecretPlaceholder,
    held: EffectiveGrant,
  ): string | null {
    if (!isBound(held.config, key, ask.host)) return `the grant does not bind ${key} to ${ask.host}`;
    if (!allowList(held.config, "allowed_slots").includes(slot)) return `the grant does not allow secrets in the ${slot}`;
    return this.#deps.watch.suspended(ask.principal, key) ? `the binding of ${key} is suspended: pieces of it came back too often` : null;
  }
}

function refuse(reason: string): { readonly allowed: false; readonly error: string; readonly reason: string } {
  return { allowed: false, error: SECRET_DENIED.error, reason };
}

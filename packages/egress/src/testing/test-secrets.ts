import { Buffer } from "node:buffer";
import type { PackId } from "@rumi/core";
import type { RequestParts, ResponseScrubber, SecretBroker } from "../ports.ts";

const PLACEHOLDER = /\{\{secret:([A-Z0-9_]+)\}\}/gu;

/** Secrets bound to hosts, in memory. Its scrubber holds an answer back until its end, which is enough to see that nothing passes it by. */
export class TestSecrets implements SecretBroker {
  readonly #bound = new Map<string, { readonly key: string; readonly value: string }>();
  readonly asked: unknown[] = [];
  /** Answers whose search was brought to an end. */
  ended = 0;

  bind(host: string, key: string, value: string): this {
    this.#bound.set(host, { key, value });
    return this;
  }

  keys(parts: RequestParts): readonly string[] {
    const texts = [parts.target.split("?").slice(1).join("?"), ...parts.headers.map(([, value]) => value)];
    if (parts.body !== null) texts.push(Buffer.from(parts.body).toString("utf8"));
    return texts.flatMap((text) => [...text.matchAll(PLACEHOLDER)].map((match) => match[1] ?? ""));
  }

  fill(
    ask: { readonly principal: PackId; readonly host: string; readonly port: number; readonly secure: boolean },
    parts: RequestParts,
  ): ReturnType<SecretBroker["fill"]> {
    this.asked.push(ask);
    const bound = this.#bound.get(ask.host);
    const keys = this.keys(parts);
    if (bound === undefined || !ask.secure || keys.some((key) => key !== bound.key)) {
      return Promise.resolve({ allowed: false, error: "Access denied or secret not found", reason: "no binding" });
    }
    const put = (text: string): string => text.replace(PLACEHOLDER, bound.value);
    const filled: RequestParts = {
      target: put(parts.target),
      headers: parts.headers.map(([name, value]) => [name, put(value)] as const),
      body: parts.body === null ? null : Buffer.from(put(Buffer.from(parts.body).toString("utf8"))),
    };
    return Promise.resolve({ allowed: true, parts: filled, keys });
  }

  sent(_principal: PackId, address: string, keys: readonly string[]): void {
    const value = [...this.#bound.values()].find(({ key }) => keys.includes(key))?.value;
    if (value !== undefined) this.bind(address, keys[0] ?? "", value);
  }

  scrubber(_principal: PackId, host: string): ResponseScrubber | null {
    const value = this.#bound.get(host)?.value;
    if (value === undefined) return null;
    const forms = [value, Buffer.from(value).toString("base64"), Buffer.from(value).toString("hex")];
    const text = (from: string): string => forms.reduce((shown, form) => shown.replaceAll(form, "[REDACTED]"), from);
    const held: Uint8Array[] = [];
    return {
      text,
      push: (chunk) => {
        held.push(chunk);
        return new Uint8Array();
      },
      end: () => {
        this.ended++;
        return Buffer.from(text(Buffer.concat(held).toString("latin1")), "latin1");
      },
    };
  }
}

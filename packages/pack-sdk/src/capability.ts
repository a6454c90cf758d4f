import type { JsonObject, JsonValue } from "@rumi/core";
import type { CapabilityAnswer } from "./answers.ts";
import { host } from "./host.ts";

export interface CallOptions {
  /** Default 30, at most 120. */
  readonly timeoutSeconds?: number;
  /** Your own name for this request; it stands in the audit log. */
  readonly requestId?: string;
}

/** Uses a host power under the pack's grant for `permissionId`. Never throws. */
export function call<Output extends JsonValue = JsonValue>(
  permissionId: string,
  args: JsonObject = {},
  options: CallOptions = {},
): Promise<CapabilityAnswer<Output>> {
  return host().call(permissionId, args, options.timeoutSeconds, options.requestId) as Promise<CapabilityAnswer<Output>>;
}

/**
 * The secret's text, or null when it may not be read or is not there. Better: let the proxy put it into the request, by
 * `{{secret:KEY}}` in a header under a `secrets.use` grant; then the pack never holds it.
 */
export async function getSecret(key: string): Promise<string | null> {
  const answer = await call<{ readonly value: string }>("secrets.get", { key });
  const value = answer.success ? answer.output.value : null;
  return typeof value === "string" ? value : null;
}

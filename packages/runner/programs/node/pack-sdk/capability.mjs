import { host } from "./host.mjs";

/** Uses a host power under the pack's grant for `permissionId`. Never throws. */
export function call(permissionId, args = {}, options = {}) {
  return host().call(permissionId, args, options.timeoutSeconds, options.requestId);
}

/**
 * The secret's text, or null when it may not be read or is not there. Better: let the proxy put it into the request, by
 * `{{secret:KEY}}` in a header under a `secrets.use` grant; then the pack never holds it.
 */
export async function getSecret(key) {
  const answer = await call("secrets.get", { key });
  const value = answer.success ? answer.output.value : null;
  return typeof value === "string" ? value : null;
}

import { isListed } from "@rumi/capability";
import type { Capability } from "@rumi/capability";
import * as v from "valibot";
import { defineCapability } from "./define-capability.ts";
import { done, failed } from "./outcome.ts";
import type { SecretReader } from "./ports.ts";

/** One text for every "no", so that nobody learns which secrets there are. Source: page "Trust", section 8. */
export const SECRET_DENIED = { error_type: "access_denied", error: "Access denied or secret not found" } as const;

/** `secrets.get`: a value, to a pack that was granted its key. Refused, absent, deleted and undecryptable look the same. */
export function secretsGet(deps: { readonly secrets: SecretReader }): Capability {
  return defineCapability("secrets.get", {
    args: v.strictObject({ key: v.pipe(v.string(), v.regex(/^[A-Z0-9_]{1,64}$/u)) }),
    uniform: SECRET_DENIED,
    outside: ({ args, config }) => (isListed(config, "allowed_keys", args.key) ? null : `the grant does not name the key ${args.key}`),
    run: async ({ args }) => {
      const value = await deps.secrets.read(args.key);
      if (value !== null) return done({ value });
      return failed(SECRET_DENIED.error_type, SECRET_DENIED.error, { reason: `there is no readable secret ${args.key}` });
    },
  });
}

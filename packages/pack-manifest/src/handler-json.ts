import * as v from "valibot";
import { Entrypoint } from "./function-json.ts";

/** Folder of the capability handlers that a pack ships, and the file that makes a folder of it one. Source: page "Trust", section 6. */
export const HANDLERS_FOLDER = "share/capability_handlers";
export const HANDLER_FILE = "handler.json";

/** First words of permission ids that are the house's own. Source: page "Trust", section 1. */
const OWN_WORDS = "secrets|store|flow|function|pack|code|docker|unit|network|host";

/** `share/capability_handlers/<slug>/handler.json`. Unknown keys mean nothing. */
export const HandlerJson = v.object({
  handler_id: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_.-]{1,128}$/u)),
  permission_id: v.pipe(
    v.string(),
    v.maxLength(128),
    v.regex(new RegExp(`^(?!(?:${OWN_WORDS})(?:\\.|$))[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)*$`, "u")),
  ),
  /** `file:function` inside the handler's folder; a binary is the file alone. */
  entrypoint: v.union([Entrypoint, v.pipe(v.string(), v.maxLength(512), v.regex(/^[^:]+$/u))]),
  runtime: v.optional(v.picklist(["python", "node", "binary"])),
  mode: v.optional(v.picklist(["sandbox", "host"]), "sandbox"),
  artifacts: v.optional(v.array(v.object({ os: v.string(), arch: v.string(), path: v.string(), sha256: v.string() })), []),
  description: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
  risk: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
});
export type HandlerJson = v.InferOutput<typeof HandlerJson>;

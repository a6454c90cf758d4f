import { FlowId } from "@rumi/core";
import * as v from "valibot";

/** Where a pack asks for HTTP routes of its own. */
export const ROUTES_FILE = "routes.json";

const SEGMENT = /^(?:[A-Za-z0-9._~-]+|\{[A-Za-z][A-Za-z0-9_]*\})$/u;
const MAX_SEGMENTS = 16;

const RoutePath = v.pipe(
  v.string(),
  v.startsWith("/"),
  v.check((path) => {
    const segments = path.slice(1).split("/");
    const names = segments.filter((segment) => segment.startsWith("{"));
    return (
      segments.length <= MAX_SEGMENTS &&
      segments.every((segment) => SEGMENT.test(segment) && segment !== "." && segment !== "..") &&
      new Set(names).size === names.length
    );
  }, "must be / and at most 16 segments, each plain text or one {name}"),
);

/** One route a pack asks for. Namespaces, foreign flows and collisions are judged by the router. */
export const DeclaredRoute = v.object({
  method: v.picklist(["GET", "POST", "PUT", "DELETE", "PATCH"]),
  path: RoutePath,
  flow_id: FlowId,
  description: v.optional(v.pipe(v.string(), v.maxLength(1024)), ""),
  /** Seconds. */
  timeout: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(600)), 300),
  public: v.optional(v.boolean(), false),
});
export type DeclaredRoute = v.InferOutput<typeof DeclaredRoute>;

/** `routes.json`. Each route is read on its own; one that is not understood is left out and warned about. */
export const RoutesJson = v.object({ routes: v.optional(v.array(v.unknown()), []) });
export type RoutesJson = v.InferOutput<typeof RoutesJson>;

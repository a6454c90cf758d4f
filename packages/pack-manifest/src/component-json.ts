import * as v from "valibot";

const Pointers = v.pipe(v.array(v.pipe(v.string(), v.maxLength(1024))), v.maxLength(256));

/**
 * What a component lets other packs send to its inbox. Source: page "Flows", section 14.1. Absent, or anything else than
 * this: nothing.
 */
export const AddonPolicy = v.strictObject({
  deny_all: v.optional(v.boolean(), false),
  allowed_manifest_paths: v.optional(Pointers, []),
  editable_files: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          path_glob: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
          allowed_json_pointer_prefixes: v.optional(Pointers, []),
        }),
      ),
      v.maxLength(256),
    ),
    [],
  ),
});
export type AddonPolicy = v.InferOutput<typeof AddonPolicy>;

const ServiceName = v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$/u));

/** `components/<dir>/manifest.json`. Other keys are kept for whoever reads them. Source: page "Flows", section 14.1. */
export const ComponentJson = v.looseObject({
  /** The folder's name. */
  id: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]{1,64}$/u)),
  type: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  version: v.optional(v.pipe(v.string(), v.maxLength(128))),
  connectivity: v.optional(v.object({ provides: v.optional(v.array(ServiceName), []), requires: v.optional(v.array(ServiceName), []) })),
  addon_policy: v.optional(AddonPolicy),
});
export type ComponentJson = v.InferOutput<typeof ComponentJson>;

// Writes schemas/*.schema.json, for the editors of pack authors, from the schemas that the daemon reads packs with; `--check`
// only compares. What JSON Schema cannot say (version ranges, paths of routes) the daemon checks all the same.
import { join } from "node:path";
import { DeclaredPermission, DeclaredRoute, EcosystemJson, PermissionsJson, RoutesJson } from "../../packages/pack-manifest/src/index.ts";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { writeGenerated } from "../generated.ts";

/** Lists are read item by item, so that one bad item does not spoil the file; for an author every item has its shape. */
const FILES = {
  ecosystem: EcosystemJson,
  permissions: v.object({ ...PermissionsJson.entries, permissions: v.optional(v.array(DeclaredPermission)) }),
  routes: v.object({ ...RoutesJson.entries, routes: v.optional(v.array(DeclaredRoute)) }),
} as const;

for (const [name, schema] of Object.entries(FILES)) {
  const body = toJsonSchema(schema, { typeMode: "input", errorMode: "ignore", target: "draft-2020-12" });
  const text = JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title: `${name}.json of a pack`, ...body }, null, 2);
  writeGenerated(join(import.meta.dirname, "../../schemas", `${name}.schema.json`), `${text}\n`);
}

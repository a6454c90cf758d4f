// Writes schemas/*.schema.json, for the editors of pack authors, from the schemas that the daemon reads packs with, and the
// same files into the package that pack authors install; `--check` only compares. What JSON Schema cannot say (version ranges,
// conditions, references, ids that must be unique) the daemon checks all the same.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  ComponentJson,
  DeclaredPermission,
  DeclaredRoute,
  EcosystemJson,
  FunctionJson,
  HandlerJson,
  PermissionsJson,
  RoutesJson,
  UnitJson,
} from "../../packages/pack-manifest/src/index.ts";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { writeGenerated } from "../generated.ts";
import { FlowShape, InjectedStep, ModifierShape, NestedStep, TopStep, TypedStep } from "./flow-shapes.ts";

/** Lists are read item by item, so that one bad item does not spoil the file; for an author every item has its shape. */
const FILES = {
  ecosystem: { file: "ecosystem.json", schema: EcosystemJson },
  permissions: {
    file: "permissions.json",
    schema: v.object({ ...PermissionsJson.entries, permissions: v.optional(v.array(DeclaredPermission)) }),
  },
  routes: { file: "routes.json", schema: v.object({ ...RoutesJson.entries, routes: v.optional(v.array(DeclaredRoute)) }) },
  handler: { file: "handler.json", schema: HandlerJson },
  function: { file: "functions/<id>/manifest.json", schema: FunctionJson },
  unit: { file: "unit.json", schema: UnitJson },
  component: { file: "components/<id>/manifest.json", schema: ComponentJson },
  flow: { file: "*.flow.yaml", schema: FlowShape, definitions: { step: TopStep, nested_step: NestedStep, typed_step: TypedStep } },
  modifier: { file: "*.modifier.yaml", schema: ModifierShape, definitions: { step: InjectedStep, nested_step: NestedStep, typed_step: TypedStep } },
} as const;

const root = join(import.meta.dirname, "../..");
const PLACES = [join(root, "schemas"), join(root, "packages", "pack-sdk", "schemas")];

for (const [name, { file, schema, ...more }] of Object.entries(FILES)) {
  const body = toJsonSchema(schema, {
    typeMode: "input",
    errorMode: "ignore",
    target: "draft-2020-12",
    definitions: "definitions" in more ? more.definitions : {},
  });
  const text = JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title: `${file} of a pack`, ...body }, null, 2);
  for (const place of PLACES) {
    mkdirSync(place, { recursive: true });
    writeGenerated(join(place, `${name}.schema.json`), `${text}\n`);
  }
}

import type { JsonObject, JsonValue } from "@rumi/core";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { codeEntry, CODES } from "./codes.ts";
import { Nothing, pathParameters } from "./route.ts";
import type { Route, Schema } from "./route.ts";

/** What the document says of each row. */
export type DescribedRoute = Pick<
  Route,
  "name" | "method" | "path" | "scope" | "summary" | "params" | "query" | "body" | "data" | "accepted" | "stream"
>;

/** Version of the HTTP API as the document names it. */
export const API_VERSION = "1.0.0";

const LAST_EVENT_ID = {
  name: "Last-Event-ID",
  in: "header",
  required: false,
  description: "The number of the last event that was got: the stream goes on after it",
  schema: { type: "string", pattern: "^\\d{1,15}$" },
} as const;

function schemaOf(schema: Schema, typeMode: "input" | "output"): JsonObject {
  const { $schema: _, ...body } = toJsonSchema(schema, { errorMode: "ignore", typeMode });
  return body as JsonObject;
}

function fieldsOf(schema: Schema, place: "path" | "query"): JsonValue[] {
  const described = schemaOf(schema, "input");
  const properties = (described["properties"] ?? {}) as Record<string, JsonValue>;
  const required = (described["required"] ?? []) as readonly string[];
  return Object.entries(properties).map(([name, field]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: field,
  }));
}

function envelopeOf(data: JsonValue): JsonObject {
  return {
    type: "object",
    required: ["success", "data", "error", "code"],
    properties: { success: { const: true }, data, error: { type: "null" }, code: { type: "null" } },
  };
}

/** The OpenAPI 3.1 document of these rows: every one, and no other. */
export function openApiDocument(routes: readonly DescribedRoute[]): JsonObject {
  const paths: Record<string, Record<string, JsonValue>> = {};
  for (const row of routes) {
    const operation: Record<string, JsonValue> = {
      operationId: row.name,
      summary: row.summary,
      tags: [row.name.split(".")[0] ?? row.name],
      "x-rumi-scope": typeof row.scope === "string" ? row.scope : [...row.scope],
      parameters: [
        ...(pathParameters(row.path).length === 0 ? [] : fieldsOf(row.params, "path")),
        ...fieldsOf(row.query, "query"),
        ...(row.stream === true ? [LAST_EVENT_ID] : []),
      ],
      responses: {
        "200": doneAnswer(row),
        ...(row.accepted === undefined
          ? {}
          : { "202": { description: "Begun", content: { "application/json": { schema: envelopeOf(schemaOf(row.accepted, "output")) } } } }),
        default: {
          description: "Refused or failed",
          content: { "application/json": { schema: { $ref: "#/components/schemas/Failure" } } },
        },
      },
      security: row.scope === "open" ? [] : [{ token: [] }],
    };
    if (row.method !== "GET" && row.body !== Nothing) {
      operation["requestBody"] = { required: false, content: { "application/json": { schema: schemaOf(row.body, "input") } } };
    }
    (paths[row.path] ??= {})[row.method.toLowerCase()] = operation;
  }
  return {
    openapi: "3.1.0",
    info: { title: "Rumi", version: API_VERSION, description: "What an operator can ask of the daemon." },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: { Failure: failureSchema() },
    },
  };
}

/** The good answer of a row. Of a stream it is the schema of each event's data. */
function doneAnswer(row: DescribedRoute): JsonObject {
  if (row.stream !== true) return { description: "Done", content: { "application/json": { schema: answerSchema(row) } } };
  return {
    description: "Events as they happen: `id` is the number to send as Last-Event-ID, `data` one JSON object",
    content: { "text/event-stream": { schema: { type: "string" }, "x-rumi-event-data": schemaOf(row.data, "output") } },
  };
}

function answerSchema(row: DescribedRoute): JsonObject {
  const data = schemaOf(row.data, "output");
  return row.name === "openapi" ? data : envelopeOf(data);
}

const FailureEnvelope = v.object({
  success: v.literal(false),
  data: v.nullable(v.looseObject({ retryable: v.boolean(), remedy: v.optional(v.string()), issues: v.optional(v.array(v.unknown())) })),
  error: v.string(),
  code: v.string(),
});

function failureSchema(): JsonObject {
  const codes = Object.keys(CODES).map((code) => ({ code, status: codeEntry(code).status }));
  return { ...schemaOf(FailureEnvelope, "output"), "x-rumi-codes": codes };
}

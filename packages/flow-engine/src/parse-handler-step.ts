import type { JsonValue } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import type { HandlerStep, StepCommon } from "./definition.ts";
import { toJson } from "./document.ts";
import { literalExpression } from "./expression.ts";
import type { Fields } from "./fields.ts";
import { Fields as MapFields } from "./fields.ts";
import type { StepReader } from "./step-reader.ts";
import { shown } from "./problems.ts";

const HANDLER_NAME = /^kernel:[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*$/u;

/** Reads a `handler` step: `input` is the handler's name, or `{handler, args}`. The name is always literal. */
export function readHandlerStep(fields: Fields, common: StepCommon, parser: StepReader): HandlerStep | null {
  const field = fields.take("input");
  if (field?.node.kind === "string") {
    const name = String(field.node.value);
    const known = checkHandler(name, {}, false, parser, field.path, field.node.offset);
    return known ? { ...common, type: "handler", handler: name, args: literalExpression({}) } : null;
  }
  if (field?.node.kind !== "map") {
    fields.fail("flow.invalid_step", "input", "a handler's name or a map of handler and args");
    return null;
  }
  const input = new MapFields(field.node, field.path, parser.context.problems);
  const name = input.text("handler", "flow.invalid_step", "a handler's name");
  if (name === null && !input.has("handler")) input.fail("flow.invalid_step", "handler", "a handler's name");
  const argsField = input.take("args");
  if (argsField !== null && argsField.node.kind !== "map" && argsField.node.kind !== "string")
    input.fail("flow.invalid_step", "args", "a map");
  const args = argsField === null ? literalExpression({}) : parser.expression(argsField.node, argsField.path);
  input.finish();
  if (name === null) return null;
  const raw: JsonValue = argsField === null ? {} : toJson(argsField.node);
  const known = checkHandler(
    name,
    raw,
    args.kind !== "literal",
    parser,
    argsField?.path ?? input.pathOf("handler"),
    argsField?.node.offset ?? field.node.offset,
  );
  return known ? { ...common, type: "handler", handler: name, args } : null;
}

function checkHandler(name: string, args: JsonValue, expanded: boolean, parser: StepReader, path: string, offset: number): boolean {
  const { handlers, problems, source } = parser.context;
  if (!HANDLER_NAME.test(name)) {
    problems.error("flow.unknown_handler", path, offset, `${shown(name)} is no handler; handlers are named like kernel:ctx.get`);
    return false;
  }
  if (handlers === null) return true;
  const handler = handlers.find((each) => each.name === name);
  if (handler === undefined) {
    problems.error("flow.unknown_handler", path, offset, `there is no handler ${shown(name)}`);
    return false;
  }
  if (handler.kind === "operator" && source.source !== "official") {
    problems.error("flow.handler_not_allowed", path, offset, `${shown(name)} is the operator's: only official flows may call it`);
    return false;
  }
  const map = isJsonObject(args) ? args : {};
  const faults = expanded ? [] : (handler.checkArgs?.(map) ?? []);
  const dynamic = (handler.literal_args ?? []).filter(
    (arg) => !isJsonObject(args) || (typeof map[arg] === "string" && map[arg].includes("${")),
  );
  const messages = [...faults, ...(expanded ? dynamic.map((arg) => `${arg} must be literal`) : [])];
  for (const message of messages) problems.error("kernel.invalid_args", path, offset, `${path}: ${shown(message)}`);
  return messages.length === 0;
}

import type { JsonObject, JsonValue } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { isContextKey } from "./names.ts";
import type { HandlerScope, KernelHandler } from "./ports.ts";

/** The open handlers that need nothing but the run's own context: `noop ctx.get ctx.set ctx.copy`. */
export function contextHandlers(): KernelHandler[] {
  return [noop, contextGet, contextSet, contextCopy];
}

const noop: KernelHandler = { name: "kernel:noop", kind: "open", run: () => null };

const contextGet: KernelHandler = {
  name: "kernel:ctx.get",
  kind: "open",
  literal_args: ["key"],
  checkArgs: (args) => readableKey(args, "key"),
  run: (args, scope) => read(args, "key", scope) ?? args["default"] ?? null,
};

const contextSet: KernelHandler = {
  name: "kernel:ctx.set",
  kind: "open",
  literal_args: ["key"],
  writtenKeys: (args) => textsOf(args, "key"),
  checkArgs: (args) => [...writableKey(args, "key"), ...(args["value"] === undefined ? ["value must be given"] : [])],
  run: (args, scope) => write(args, "key", args["value"] ?? null, scope),
};

const contextCopy: KernelHandler = {
  name: "kernel:ctx.copy",
  kind: "open",
  literal_args: ["from_key", "to_key"],
  writtenKeys: (args) => textsOf(args, "to_key"),
  checkArgs: (args) => [...readableKey(args, "from_key"), ...writableKey(args, "to_key")],
  run: (args, scope) => write(args, "to_key", read(args, "from_key", scope) ?? null, scope),
};

function textsOf(args: JsonObject, name: string): string[] {
  const value = args[name];
  return typeof value === "string" ? [value] : [];
}

function readableKey(args: JsonObject, name: string): string[] {
  const value = args[name];
  return typeof value === "string" && value !== "" ? [] : [`${name} must be a key of ctx`];
}

function writableKey(args: JsonObject, name: string): string[] {
  const value = args[name];
  return typeof value === "string" && isContextKey(value)
    ? []
    : [`${name} must be a context key: a letter, then A-Z a-z 0-9 _ -, at most 64 characters`];
}

/** The key an argument names. @throws FlowError `kernel.invalid_args` */
function keyOf(args: JsonObject, name: string, check: (args: JsonObject, name: string) => string[]): string {
  const [fault] = check(args, name);
  const key = args[name];
  if (fault !== undefined || typeof key !== "string") throw new FlowError("kernel.invalid_args", fault ?? `${name} must be a key of ctx`);
  return key;
}

function read(args: JsonObject, name: string, scope: HandlerScope): JsonValue | undefined {
  return scope.ctx.get(keyOf(args, name, readableKey));
}

function write(args: JsonObject, name: string, value: JsonValue, scope: HandlerScope): JsonValue {
  scope.ctx.set(keyOf(args, name, writableKey), value);
  return value;
}

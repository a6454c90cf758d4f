import { isJsonObject } from "@rumi/core";
import type { HandlerStep, Step } from "./definition.ts";
import type { KernelHandler } from "./ports.ts";

/** Context keys that these steps write into their enclosing scope. */
export function writtenKeys(steps: readonly Step[], handlers: readonly KernelHandler[]): Set<string> {
  const keys = new Set<string>();
  for (const step of steps) {
    if (step.output !== null) keys.add(step.output);
    for (const key of ownWrites(step, handlers)) keys.add(key);
  }
  return keys;
}

function ownWrites(step: Step, handlers: readonly KernelHandler[]): Iterable<string> {
  switch (step.type) {
    case "set":
      return [step.key];
    case "handler":
      return handlerWrites(step, handlers);
    case "if":
      return [...writtenKeys(step.then_steps, handlers), ...writtenKeys(step.else_steps, handlers)];
    case "repeat":
      return writtenKeys(step.steps, handlers);
    case "parallel":
      return step.branches.flatMap((branch) => [...writtenKeys(branch.steps, handlers)]);
    default:
      return [];
  }
}

function handlerWrites(step: HandlerStep, handlers: readonly KernelHandler[]): readonly string[] {
  const handler = handlers.find((each) => each.name === step.handler);
  const input = step.raw["input"];
  const args = isJsonObject(input) && isJsonObject(input["args"]) ? input["args"] : {};
  return handler?.writtenKeys?.(args) ?? [];
}

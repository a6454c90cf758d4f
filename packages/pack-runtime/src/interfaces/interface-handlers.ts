import type { JsonObject } from "@rumi/core";
import type { KernelHandler } from "@rumi/flow-engine";
import { PackRuntimeError } from "../errors.ts";
import { refuseFaults, textFaults, textOf } from "../vocabulary/handler-args.ts";
import { refuseEvent } from "./event-bus.ts";
import type { EventBus } from "./event-bus.ts";
import type { InterfaceRegistry } from "./interface-registry.ts";

export interface InterfaceHandlerDeps {
  readonly registry: Pick<InterfaceRegistry, "read" | "keys">;
  readonly bus: Pick<EventBus, "emit">;
}

/** `kernel:emit`, `kernel:interfaces.get`, `kernel:interfaces.list`: open to every flow, as the step's principal. */
export function interfaceKernelHandlers({ registry, bus }: InterfaceHandlerDeps): KernelHandler[] {
  return [
    {
      name: "kernel:emit",
      kind: "open",
      checkArgs: eventFaults,
      run(args, scope) {
        refuseFaults(eventFaults(args));
        return { ...bus.emit(scope.principal, textOf(args, "event") ?? "", args["data"] ?? null) };
      },
    },
    {
      name: "kernel:interfaces.get",
      kind: "open",
      checkArgs: (args) => textFaults(args, ["key"]),
      run(args, scope) {
        refuseFaults(textFaults(args, ["key"]));
        const found = registry.read(scope.principal, textOf(args, "key") ?? "");
        if (!found.allowed) throw new PackRuntimeError(found.code, found.reason);
        return found.value;
      },
    },
    {
      name: "kernel:interfaces.list",
      kind: "open",
      checkArgs: (args) => textFaults(args, [], ["prefix"]),
      run(args, scope) {
        refuseFaults(textFaults(args, [], ["prefix"]));
        return registry.keys(scope.principal, textOf(args, "prefix") ?? "");
      },
    },
  ];
}

function eventFaults(args: JsonObject): string[] {
  const faults = textFaults(args, ["event"]);
  const fault = faults.length > 0 ? null : refuseEvent(textOf(args, "event") ?? "", args["data"] ?? null);
  return fault === null ? faults : [fault];
}

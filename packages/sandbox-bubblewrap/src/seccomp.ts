import { arch } from "node:process";
import programs from "./seccomp.json" with { type: "json" };

/** Filter programs by machine, as `node:process` names it. */
const BY_MACHINE: Readonly<Record<string, string>> = { x64: programs.x86_64, arm64: programs.aarch64 };

/** The filter as the kernel takes it; null on a machine none was made for. */
export function seccompProgram(machine: string = arch): Uint8Array | null {
  const program = BY_MACHINE[machine];
  return program === undefined ? null : Buffer.from(program, "base64");
}

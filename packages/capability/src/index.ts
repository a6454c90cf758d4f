export { CapabilityError } from "./errors.ts";
export type { CapabilityErrorCode } from "./errors.ts";
export type { CallerGate, Capability, CapabilityOutcome, CapabilitySource, CapabilityUse, DeclaredRights } from "./ports.ts";

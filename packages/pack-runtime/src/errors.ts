import { RumiError } from "@rumi/core";

/** Codes of this package beside the `sandbox.*` and `approval.*` ones that it passes on. */
export type PackRuntimeErrorCode = "daemon.stopping" | "interface.key_denied" | "interface.key_taken" | "event.unsupported";

/** A promise of this package that could not be kept. */
export class PackRuntimeError extends RumiError<PackRuntimeErrorCode> {}

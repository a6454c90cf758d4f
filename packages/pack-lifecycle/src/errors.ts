/** Codes of this package, beside the `approval.*` and `sandbox.*` ones that it passes on. */
export type PackLifecycleErrorCode = "lib.failed" | "lib.gave_up" | "lib.not_found";

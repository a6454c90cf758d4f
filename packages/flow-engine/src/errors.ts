import { RumiError } from "@rumi/core";

/** Codes a flow file can be refused (E) or warned (W) with while it loads. */
export const FLOW_LOAD_CODES = [
  "flow.parse_error",
  "flow.file_too_large",
  "flow.too_complex",
  "flow.invalid_id",
  "flow.invalid_phases",
  "flow.invalid_field",
  "flow.invalid_step",
  "flow.invalid_condition",
  "flow.invalid_depends_on",
  "flow.invalid_output",
  "flow.invalid_retry",
  "flow.invalid_timeout",
  "flow.invalid_reference",
  "flow.duplicate_step_id",
  "flow.duplicate_id",
  "flow.foreign_id",
  "flow.foreign_owner_pack",
  "flow.unknown_type",
  "flow.unknown_phase",
  "flow.unknown_handler",
  "flow.handler_not_allowed",
  "flow.branch_conflict",
  "flow.dependency_cycle",
  "kernel.invalid_args",
  "flow.unknown_dependency",
  "flow.unknown_field",
  "flow.unknown_control",
  "flow.legacy_reference",
  "flow.legacy_path",
  "flow.coerced",
  "flow.principal_id_overridden",
  "schedule.invalid",
  "schedule.invalid_cron",
  "schedule.never_fires",
  "schedule.missing_inputs",
  "modifier.invalid_field",
  "modifier.duplicate_id",
  "modifier.wide",
  "modifier.orphans_dependents",
  "modifier.shared_target",
] as const;
export type FlowLoadCode = (typeof FLOW_LOAD_CODES)[number];

/** Codes a run, a step or a request about a run can end with. Block steps add `sandbox.*` and `approval.*`. */
export const FLOW_RUN_CODES = [
  "flow.not_found",
  "flow.not_runnable",
  "flow.too_many_runs",
  "flow.invalid_input",
  "flow.input_type",
  "flow.input_too_large",
  "flow.context_too_large",
  "flow.run_not_found",
  "flow.run_finished",
  "flow.definition_changed",
  "flow.pack_changed",
  "flow.run_denied",
  "flow.timeout",
  "flow.step_timeout",
  "flow.cancelled",
  "flow.aborted",
  "flow.depth_exceeded",
  "flow.recursive",
  "flow.loop_limit",
  "flow.repeat_exhausted",
  "flow.not_iterable",
  "flow.missing_target",
  "flow.child_failed",
  "flow.child_aborted",
  "flow.resume_limit",
  "schedule.not_found",
  "kernel.invalid_args",
  "kernel.failed",
  "daemon.stopping",
] as const;
export type FlowRunCode = (typeof FLOW_RUN_CODES)[number];

/** Every code of this package: the closed union an HTTP status table is typed over. */
export type FlowErrorCode = FlowLoadCode | FlowRunCode;

/** A flow, run or handler call this package refuses. */
export class FlowError extends RumiError<FlowErrorCode> {}

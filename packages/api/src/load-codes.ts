import type { FlowLoadCode } from "@rumi/flow-engine";

/** Every code a flow file can be refused or warned with. All are 400, and their author has to mend the file. Source: page 10, section 16. */
const LISTED: Readonly<Record<FlowLoadCode, true>> = {
  "flow.parse_error": true,
  "flow.file_too_large": true,
  "flow.too_complex": true,
  "flow.invalid_id": true,
  "flow.invalid_phases": true,
  "flow.invalid_field": true,
  "flow.invalid_step": true,
  "flow.invalid_condition": true,
  "flow.invalid_depends_on": true,
  "flow.invalid_output": true,
  "flow.invalid_retry": true,
  "flow.invalid_timeout": true,
  "flow.invalid_reference": true,
  "flow.duplicate_step_id": true,
  "flow.duplicate_id": true,
  "flow.foreign_id": true,
  "flow.foreign_owner_pack": true,
  "flow.unknown_type": true,
  "flow.unknown_phase": true,
  "flow.unknown_handler": true,
  "flow.handler_not_allowed": true,
  "flow.branch_conflict": true,
  "flow.dependency_cycle": true,
  "kernel.invalid_args": true,
  "flow.unknown_dependency": true,
  "flow.unknown_field": true,
  "flow.unknown_control": true,
  "flow.legacy_reference": true,
  "flow.legacy_path": true,
  "flow.coerced": true,
  "flow.principal_id_overridden": true,
  "schedule.invalid": true,
  "schedule.invalid_cron": true,
  "schedule.never_fires": true,
  "schedule.missing_inputs": true,
};

/** The codes of flow files. */
export const LOAD_CODES: ReadonlySet<string> = new Set(Object.keys(LISTED));

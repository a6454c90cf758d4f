// Loading
export { parseFlow } from "./parse-flow.ts";
export type { ParsedFlow, ParseFlowOptions } from "./parse-flow.ts";
export { VALUE_TYPES } from "./definition.ts";
export type {
  FileCallStep,
  FlowDefaults,
  FlowDefinition,
  FlowSource,
  ForeachStep,
  FunctionStep,
  HandlerStep,
  IfStep,
  InputDeclaration,
  LoadProblem,
  ParallelStep,
  RepeatStep,
  RetryPolicy,
  SetStep,
  Step,
  StepCommon,
  StepType,
  SubFlowStep,
  ValueType,
} from "./definition.ts";
export { composeFlow, FlowTable } from "./flow-table.ts";
export type { FlowFile } from "./flow-file.ts";
export { ParsedFiles } from "./parsed-files.ts";
export type { ParsedFilesOptions } from "./parsed-files.ts";
export type { ComposedFlow, ComposeOptions, SkipRecord } from "./flow-table.ts";
export { isGlob, globMatches } from "./glob.ts";
export { isWide } from "./apply-modifiers.ts";
export type { ModifierSurroundings } from "./apply-modifiers.ts";
export type {
  ModifierAction,
  ModifierDefinition,
  ModifierFacts,
  ModifierRecord,
  ModifierRights,
  ModifierSkip,
  RemovedStep,
  StepOrigin,
} from "./modifier.ts";
export { parseModifier } from "./parse-modifier.ts";
export type { ParsedModifier, ParseModifierOptions } from "./parse-modifier.ts";
export { nextFire } from "./schedule.ts";
export type { ScheduleSpec } from "./schedule-spec.ts";
export { diffFlows } from "./diff-flow.ts";
export type { ChangedField, FlowDiff } from "./diff-flow.ts";
export { planFlow } from "./plan-flow.ts";
export type { FlowPlan, MissingPart, PlanFacts } from "./plan-flow.ts";
export { orderSteps } from "./order.ts";
export type { Orderable, Ordering } from "./order.ts";
export { allSteps } from "./walk-steps.ts";
export { writtenKeys } from "./written-keys.ts";

// Language
export { parseReference, referencePath, resolveReference } from "./reference.ts";
export type { ContextReader, Reference, Scanned, SyntaxFault } from "./reference.ts";
export { parseTemplate } from "./template.ts";
export type { Template, TemplateParse } from "./template.ts";
export { compileExpression, expand, referencesOf } from "./expression.ts";
export type { Expression } from "./expression.ts";
export { parseCondition } from "./condition.ts";
export type { ComparisonOperator, Condition, ConditionParse } from "./condition.ts";
export { conditionReferences, evaluateCondition } from "./evaluate-condition.ts";
export { isContextKey, isFlowId, isOwnFlow } from "./names.ts";

// Running
export { FlowRunner } from "./flow-runner.ts";
export { Scheduler } from "./scheduler.ts";
export type { SchedulerDeps, ScheduleRow, ScheduleStatus, ScheduleStore, ScheduleTimers } from "./scheduler.ts";
export { clampRunTimeout } from "./run-options.ts";
export type { FlowRunnerDeps, FlowRunnerOptions } from "./flow-runner.ts";
export type { RunOptions } from "./run-options.ts";
export type { FailedStep, RunAnswer, RunState, RunSummary, RunTrigger } from "./run-answer.ts";
export type { JournaledRun, JournaledStep, RunEnd, RunJournal, ScheduleFire, StepFinish, StepStart } from "./journal.ts";
export { contextHandlers } from "./kernel-handlers.ts";
export { flowHandlers } from "./flow-handler.ts";
export type { ResolveToken } from "./flow-handler.ts";
export type {
  BlockCall,
  BlockOutcome,
  BlockResolver,
  BlockRunner,
  BlockTarget,
  ClosedFlows,
  FlowAsk,
  FunctionAsk,
  FunctionOutcome,
  FunctionRunner,
  HandlerScope,
  KernelHandler,
  Sleep,
  StepConsent,
  SubFlowRights,
  Vocabulary,
} from "./ports.ts";

// Errors and limits
export { FLOW_LOAD_CODES, FLOW_RUN_CODES, FlowError } from "./errors.ts";
export type { FlowErrorCode, FlowLoadCode, FlowRunCode } from "./errors.ts";
export { API_RUN_SECONDS, DEFAULT_CONCURRENT_RUNS, MAX_FLOW_FILE_BYTES, MAX_MODIFIER_FILE_BYTES, MAX_VALUE_BYTES } from "./limits.ts";

import type { JsonObject } from "@rumi/core";
import * as v from "valibot";
import { WireError } from "./errors.ts";
import type { Frame } from "./frame.ts";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const CallId = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const Text = v.string();

/** The shapes a call may have. Source: page "Execution", sections 3 and 7. */
export const Convention = v.picklist(["block", "function", "converter", "lib", "component", "handler", "unit"]);
export type Convention = v.InferOutput<typeof Convention>;

/**
 * Where the runner finds things. Absent members are the container's (`/pack`, `/pip-packages`, `/node_modules`);
 * an adapter without a container names its own folders. `temp` is emptied between calls.
 */
export const RunnerRoots = v.object({
  pack: v.optional(Text),
  pip_packages: v.optional(Text),
  node_modules: v.optional(Text),
  temp: v.optional(v.array(Text)),
});
export type RunnerRoots = v.InferOutput<typeof RunnerRoots>;

/** First message to the runner: who it is and what it may do. */
export const Hello = v.object({
  type: v.literal("hello"),
  protocols: v.pipe(v.array(Count), v.minLength(1)),
  instance_id: Text,
  runtime: v.picklist(["python", "node"]),
  reuse: v.boolean(),
  /** Calls served at once. */
  slots: v.pipe(Count, v.minValue(1)),
  /** Single-use processes kept ready. Absent: the runner's own number. */
  spares: v.optional(Count),
  limits: v.object({ max_payload_bytes: Count, cancel_grace_ms: Count }),
  roots: v.optional(RunnerRoots),
});
export type Hello = v.InferOutput<typeof Hello>;

/** One call. The payload is the UTF-8 JSON text `{"input":…,"context":…}`. */
export const Call = v.object({
  type: v.literal("call"),
  call_id: CallId,
  convention: Convention,
  /** Relative to the pack's root folder. */
  file: Text,
  function: v.nullable(Text),
  timeout_ms: Count,
  max_result_bytes: Count,
  max_log_bytes: Count,
  payload: Count,
});
export type Call = v.InferOutput<typeof Call>;

export const Cancel = v.object({ type: v.literal("cancel"), call_id: CallId });
export type Cancel = v.InferOutput<typeof Cancel>;
/** No call follows; the runner leaves once none is in flight. */
export const Drain = v.object({ type: v.literal("drain") });
export type Drain = v.InferOutput<typeof Drain>;
export const Ping = v.object({ type: v.literal("ping"), n: Count });
export type Ping = v.InferOutput<typeof Ping>;

/** What the host says. */
export const HostMessage = v.variant("type", [Hello, Call, Cancel, Drain, Ping]);
export type HostMessage = v.InferOutput<typeof HostMessage>;

/** The runner serves; `protocol` is the one it chose. */
export const Ready = v.object({
  type: v.literal("ready"),
  protocol: Count,
  runtime_version: v.pipe(v.string(), v.maxLength(64)),
  /** What the runner could not do (not non-dumpable, no list of children). */
  warnings: v.optional(v.array(v.pipe(v.string(), v.maxLength(256)))),
});
export type Ready = v.InferOutput<typeof Ready>;

/** A call that had to wait for a process has one now. Calls that found one ready are not announced. */
export const Started = v.object({ type: v.literal("started"), call_id: CallId });
export type Started = v.InferOutput<typeof Started>;

/** Raw printed bytes as they came, cut anywhere; `dropped` counts bytes lost since the last one. */
export const Log = v.object({
  type: v.literal("log"),
  call_id: CallId,
  stream: v.picklist(["stdout", "stderr"]),
  dropped: v.optional(Count),
  payload: Count,
});
export type Log = v.InferOutput<typeof Log>;

/** One piece of a generator, JSON text. */
export const Chunk = v.object({ type: v.literal("chunk"), call_id: CallId, payload: Count });
export type Chunk = v.InferOutput<typeof Chunk>;

/** Ways a call may end, in the runner's words. */
export const ResultKind = v.picklist([
  "ok",
  "block_error",
  "module_load_error",
  "no_run_function",
  "invalid_output",
  "response_too_large",
  "timeout",
  "cancelled",
  "crashed",
  "oom_killed",
  "protocol_error",
]);
export type ResultKind = v.InferOutput<typeof ResultKind>;

/** The end of a call. With kind `ok` the payload is the value's JSON text. */
export const Result = v.object({
  type: v.literal("result"),
  call_id: CallId,
  kind: ResultKind,
  streaming: v.optional(v.boolean()),
  warnings: v.optional(v.array(Text)),
  message: v.optional(Text),
  exception_type: v.optional(Text),
  traceback: v.optional(Text),
  exit_code: v.optional(v.pipe(v.number(), v.safeInteger())),
  signal: v.optional(Text),
  /** Most memory the call's process held at once, where the runner knows it. */
  peak_bytes: v.optional(Count),
  /** Printed bytes that were not sent. */
  log_dropped: v.optional(Count),
  payload: v.optional(Count),
});
export type Result = v.InferOutput<typeof Result>;

export const Pong = v.object({ type: v.literal("pong"), n: Count });
export type Pong = v.InferOutput<typeof Pong>;

/** The runner gives up; the instance is to be removed. */
export const Fault = v.object({
  type: v.literal("fault"),
  code: v.picklist(["protocol_error", "leftovers", "start_failed"]),
  message: v.optional(Text),
});
export type Fault = v.InferOutput<typeof Fault>;

/** What the runner says. */
export const RunnerMessage = v.variant("type", [Ready, Started, Log, Chunk, Result, Pong, Fault]);
export type RunnerMessage = v.InferOutput<typeof RunnerMessage>;

/**
 * The runner's message in `frame`.
 * @throws WireError `wire.invalid_message` for an unknown type or a member of another shape
 */
export function parseRunnerMessage(frame: Frame): RunnerMessage {
  return parse(RunnerMessage, frame.header);
}

/**
 * The host's message in `frame`.
 * @throws WireError `wire.invalid_message`
 */
export function parseHostMessage(frame: Frame): HostMessage {
  return parse(HostMessage, frame.header);
}

function parse<Schema extends v.GenericSchema>(schema: Schema, header: JsonObject): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, header, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const type = typeof header["type"] === "string" ? header["type"].slice(0, 40) : "?";
  throw new WireError("wire.invalid_message", `message "${type}": ${parsed.issues[0].message}`);
}

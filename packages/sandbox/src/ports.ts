import type { Digest, JsonObject, JsonValue, PackId } from "@rumi/core";

/** The languages a block may be written in. */
export type Runtime = "python" | "node";

/** `container`: a strict sandbox with walls. `none`: child processes of the host, permissive mode only. */
export type Isolation = "container" | "none";

/** How the runner inside reaches the host. */
export type Transport = "socket" | "stdio";

/** The image (or interpreter) an adapter uses for one runtime. `image_id` is null until it is known. */
export interface RuntimeImage {
  readonly ref: string;
  readonly image_id: string | null;
  readonly present: boolean;
}

/** A wall that the engine cannot give. Any of these makes the sandbox weak: strict mode refuses. */
export interface Weakness {
  readonly id: "seccomp" | "memory" | "pids" | "remote_engine";
  readonly message: string;
}

/** What an adapter can do now. */
export interface SandboxProbe {
  readonly available: boolean;
  readonly adapter: "docker" | "bubblewrap" | "host" | "fake";
  readonly isolation: Isolation;
  readonly engine?: { readonly version: string; readonly api: string };
  readonly oci_runtime?: string;
  readonly transport: Transport;
  readonly runtimes: Readonly<Record<Runtime, RuntimeImage>>;
  readonly weaknesses: readonly Weakness[];
  readonly warnings: readonly string[];
  /** What an operator types to make it available or whole. */
  readonly remedy?: string;
}

/** A file or folder of the host shown inside. `source` comes from the daemon only, never from a pack. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly read_only: boolean;
}

/** Walls of one instance. */
export interface InstanceLimits {
  readonly memory_bytes: number;
  readonly cpus: number;
  readonly pids: number;
  readonly tmp_bytes: number;
}

export type InstancePurpose = "block" | "lib" | "handler" | "unit" | "job";

/** Everything that makes one instance. Two instances with equal spec but `instance_id` are interchangeable. */
export interface InstanceSpec {
  /** 128 random bits, lower-case hex. */
  readonly instance_id: string;
  readonly purpose: InstancePurpose;
  readonly pack_id: PackId;
  readonly digest: Digest;
  readonly runtime: Runtime;
  /** The plain principal, or a narrowed one. Part of the pool key. */
  readonly authority: string;
  /** Snapshot at `/pack`, builds, data, inbox. The runner itself is mounted by the adapter. */
  readonly mounts: readonly Mount[];
  /** Host paths of extra socket folders to show under `/run/rumi/<name>` (capability, egress). May be empty. */
  readonly sockets: Readonly<Record<string, string>>;
  readonly limits: InstanceLimits;
  /** Extra environment beside the adapter's fixed one. Never a secret, token or host path. */
  readonly env: Readonly<Record<string, string>>;
  readonly reuse: boolean;
  /** Calls served at once (1 with `reuse`). */
  readonly slots: number;
}

/** A running instance. Opaque to its holder: only the adapter that made it can use it. */
export interface Instance {
  readonly spec: InstanceSpec;
  readonly started_at: number;
  /** Resolves once when the instance is gone for any reason; never rejects. */
  readonly gone: Promise<InstanceEnd>;
  /** Resolves when it takes no further call, though those in flight may still end well; may never settle. Never rejects. */
  readonly leaving?: Promise<void>;
}

export interface InstanceEnd {
  readonly kind: "stopped" | "crashed" | "oom_killed" | "protocol_error" | "instance_lost";
  readonly message: string;
}

export type Convention = "block" | "function" | "converter" | "lib" | "component" | "handler" | "unit";

/** One line printed by pack code. At most 8 KiB, not yet redacted. */
export interface LogLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** One call. `file` is relative to `/pack` as planned; `function` is null for the convention's default entry. */
export interface RunSpec {
  readonly call_id: string;
  readonly convention: Convention;
  readonly file: string;
  readonly function: string | null;
  readonly input: JsonValue;
  readonly context: JsonObject;
  readonly timeout_ms: number;
  readonly max_result_bytes: number;
  readonly max_log_bytes: number;
  readonly on_log?: (line: LogLine) => void;
  readonly on_chunk?: (chunk: JsonValue) => void;
}

/** Ways a call can end other than well. `sandbox.<type>` is the code. */
export const RUN_FAILURES = [
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
  "instance_lost",
] as const;
export type RunFailureType = (typeof RUN_FAILURES)[number];

/** What every result carries. */
export interface RunFacts {
  readonly duration_ms: number;
  readonly start: "warm" | "resumed" | "cold";
  readonly peak_bytes?: number;
  readonly log: { readonly bytes: number; readonly dropped: number };
}

export interface RunOk extends RunFacts {
  readonly kind: "ok";
  readonly value: JsonValue;
  readonly streaming: boolean;
  readonly warnings: readonly string[];
}

export interface RunFailed extends RunFacts {
  readonly kind: RunFailureType;
  /** At most 2 KiB, no host path. */
  readonly message: string;
  readonly exception_type?: string;
  /** At most 4 KiB, no host path. */
  readonly traceback?: string;
  readonly exit_code?: number;
  readonly signal?: string;
}

export type RunResult = RunOk | RunFailed;

/** One command in a container of its own, run to its end. argv, never a shell. */
export interface JobSpec {
  readonly job_id: string;
  readonly image: string;
  readonly argv: readonly string[];
  readonly mounts: readonly Mount[];
  readonly env: Readonly<Record<string, string>>;
  readonly working_dir: string;
  readonly limits: InstanceLimits;
  readonly timeout_ms: number;
  readonly max_output_bytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface JobResult {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
  readonly timed_out: boolean;
  readonly oom_killed: boolean;
}

/** One thing the engine holds that carries our label. */
export interface HeldInstance {
  readonly id: string;
  readonly instance_id: string;
  readonly installation: string;
  readonly pack_id: string;
  readonly digest: string;
  readonly runtime: string;
  readonly state: string;
  readonly memory_bytes: number | null;
  readonly started_at: number | null;
}

/** A safe run, whoever gives it. Every adapter and the fake pass the one contract suite in `@rumi/sandbox/testing`. */
export interface Sandbox extends AsyncDisposable {
  /** What is possible now. Never throws; cached 60 s when available, 5 s when not; `fresh` skips the cache. */
  probe(options?: { readonly fresh?: boolean; readonly signal?: AbortSignal }): Promise<SandboxProbe>;
  /**
   * A ready instance, or an error and nothing left behind.
   * @throws SandboxError `sandbox.docker_required` `sandbox.engine_weak` `sandbox.image_missing` `sandbox.start_failed` `sandbox.invalid_mount`
   */
  start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance>;
  /** Runs one call. Always a result; abort means cancel. The caller keeps to `spec.slots` calls at once. */
  run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult>;
  pause(instance: Instance): Promise<void>;
  resume(instance: Instance): Promise<void>;
  /** Idempotent; resolves when no process, socket or folder of it is left. Calls in flight end `cancelled`. */
  stop(instance: Instance): Promise<void>;
  /** @throws SandboxError as `start` */
  job(spec: JobSpec, signal?: AbortSignal): Promise<JobResult>;
  /** What the engine holds of this installation. */
  list(): Promise<readonly HeldInstance[]>;
  /** Removes what carries our installation's label and is no live instance of this process. Returns the count. */
  sweep(): Promise<number>;
}

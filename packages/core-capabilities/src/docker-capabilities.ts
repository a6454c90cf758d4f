import { isListed } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import type { JsonObject } from "@rumi/core";
import * as v from "valibot";
import { allowList, numberOf } from "./allow-list.ts";
import { defineCapability } from "./define-capability.ts";
import { done, failed } from "./outcome.ts";
import type { ContainerAsk, ContainerHouse, ContainerRefusal } from "./ports.ts";
import { byteCount, ByteSize } from "./byte-size.ts";

/** What a container may have where the grant says nothing, and at most whatever the grant says. Source: page "Trust", section 8. */
const CAPS = {
  memory_bytes: { standard: byteCount("256m"), most: byteCount("1g") },
  cpus: { standard: 0.5, most: 2 },
  pids: { standard: 50, most: 200 },
  containers: { standard: 3, most: 5 },
  seconds: { standard: 60, most: 600 },
} as const;

/** The least memory an engine takes. */
const MIN_MEMORY_BYTES = byteCount("6m");
/** The least share of a processor that is given. */
const MIN_CPUS = 0.01;

/** Names that would change how a program is found or loaded, or that mean something to the host's tools. */
const DROPPED_ENV = /^(?:RUMI_.*|DOCKER_.*|AWS_.*|LD_.*|PATH|HOME)$/iu;

const MAX_LOG_LINES = 10_000;

const Word = v.pipe(
  v.string(),
  v.maxLength(16_384, "a word of a command has at most 16384 characters"),
  v.check((text) => !text.includes("\0"), "a command holds no NUL"),
);
const Command = v.pipe(
  v.array(Word, "command is a list of words, never one text: no shell reads it"),
  v.minLength(1, "command needs a program"),
  v.maxLength(256, "command has at most 256 words"),
  v.check(
    ([program]) => program !== undefined && program !== "" && !program.startsWith("-"),
    "command begins with a program, not with an option",
  ),
);
// Each part begins with a letter or digit: nothing in it leads elsewhere in the engine's own paths.
const Image = v.pipe(
  v.string(),
  v.maxLength(255),
  v.regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]*(?:[/:@][a-zA-Z0-9][a-zA-Z0-9._-]*)*$/u, "image is the name or id of an image"),
);
const Environment = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/u, "env: a name is letters, digits and _")),
    v.pipe(
      v.string(),
      v.maxLength(8192),
      v.check((text) => !text.includes("\0"), "env holds no NUL"),
    ),
  ),
  v.check((env) => Object.keys(env).length <= 64, "env has at most 64 names"),
);
const Folder = v.pipe(v.string(), v.maxLength(256), v.regex(/^\/[^\0]*$/u, "working_dir is an absolute path"));
const Positive = v.pipe(v.number(), v.gtValue(0, "must be more than 0"));
const Name = v.pipe(v.string(), v.maxLength(64));

/** `docker.*`: containers of local images within the caps; no network, mount or pull, each owned by the pack that made it. */
export function dockerCapabilities(deps: { readonly containers: ContainerHouse | null }): readonly Capability[] {
  const { containers } = deps;
  if (containers === null) return DOCKER_IDS.map((id) => absent(id));
  return [
    defineCapability("docker.run", {
      args: v.strictObject({
        image: Image,
        command: Command,
        env: v.nullish(Environment),
        working_dir: v.nullish(Folder),
        memory: v.nullish(ByteSize),
        cpus: v.nullish(Positive),
        pids: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
        timeout: v.nullish(Positive),
        detach: v.nullish(v.boolean()),
      }),
      outside: anyImage,
      run: async ({ args, config, caller, signal, timeout_ms: leftMs }) => {
        if (!isListed(config, "allowed_images", args.image)) {
          return failed("image_not_allowed", "Image not allowed", { reason: `the grant does not name the image ${args.image}` });
        }
        const detached = args.detach === true;
        const limitMs = seconds(config, args.timeout) * 1000;
        const ask: ContainerAsk = {
          principal: caller.principal,
          image: args.image,
          command: args.command,
          env: keptEnv(args.env ?? {}),
          working_dir: args.working_dir ?? "/",
          memory_bytes: Math.max(
            MIN_MEMORY_BYTES,
            within(args.memory == null ? null : byteCount(args.memory), memoryOf(config), CAPS.memory_bytes.most),
          ),
          cpus: Math.max(MIN_CPUS, within(args.cpus, numberOf(config, "max_cpus", CAPS.cpus.standard), CAPS.cpus.most)),
          pids: Math.max(1, Math.floor(within(args.pids, numberOf(config, "max_pids", CAPS.pids.standard), CAPS.pids.most))),
          timeout_ms: detached ? limitMs : Math.min(limitMs, leftMs),
          max_containers: Math.min(numberOf(config, "max_containers", CAPS.containers.standard), CAPS.containers.most),
        };
        if (detached) {
          const started = await containers.start(ask);
          return started.ok ? done({ exit_code: null, stdout: "", stderr: "", container_name: started.container_name }) : refusal(started);
        }
        const end = await containers.run(ask, signal);
        if (!end.ok) return refusal(end);
        return done({ exit_code: end.exit_code, stdout: end.stdout, stderr: end.stderr, container_name: end.container_name });
      },
    }),
    defineCapability("docker.exec", {
      args: v.strictObject({ container_name: Name, command: Command, timeout: v.nullish(Positive) }),
      outside: anyImage,
      run: async ({ args, config, caller, signal, timeout_ms: leftMs }) => {
        const timeoutMs = Math.min(seconds(config, args.timeout) * 1000, leftMs);
        const { container_name, command } = args;
        const end = await containers.exec({ principal: caller.principal, container_name, command, timeout_ms: timeoutMs }, signal);
        return end.ok ? done({ exit_code: end.exit_code, stdout: end.stdout, stderr: end.stderr }) : refusal(end);
      },
    }),
    defineCapability("docker.stop", {
      args: v.strictObject({ container_name: Name }),
      outside: anyImage,
      run: async ({ args, caller }) => {
        const end = await containers.stop(caller.principal, args.container_name);
        return end.ok ? done({ container_name: args.container_name, exit_code: end.exit_code }) : refusal(end);
      },
    }),
    defineCapability("docker.logs", {
      args: v.strictObject({
        container_name: Name,
        tail: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
        since: v.nullish(
          v.union([v.pipe(v.number(), v.minValue(0)), v.pipe(v.string(), v.isoTimestamp("since is a UTC time or seconds"))]),
        ),
      }),
      outside: anyImage,
      run: ({ args, caller }) => {
        const sinceMs = typeof args.since === "string" ? Date.parse(args.since) : (args.since ?? 0) * 1000;
        const tail = Math.min(args.tail ?? MAX_LOG_LINES, MAX_LOG_LINES);
        const kept = containers.logs(caller.principal, args.container_name, { tail, sinceMs });
        return kept.ok ? done({ stdout: kept.stdout, stderr: kept.stderr }) : refusal(kept);
      },
    }),
    defineCapability("docker.list", {
      args: v.strictObject({}),
      outside: anyImage,
      run: ({ caller }) => done({ containers: containers.list(caller.principal).map((view) => ({ ...view })) }),
    }),
  ];
}

const DOCKER_IDS = ["docker.run", "docker.exec", "docker.stop", "docker.logs", "docker.list"] as const;

/** Where no engine gives containers, a granted call says so, and nothing else happens. */
function absent(id: string): Capability {
  return defineCapability(id, {
    args: v.record(v.string(), v.unknown()),
    outside: anyImage,
    run: () => refusal({ ok: false, fault: "docker_required", reason: "the sandbox in use gives no containers" }),
  });
}

/** A grant that names no image gives nothing; which image it is, `docker.run` answers itself. */
function anyImage({ config }: { readonly config: JsonObject }): string | null {
  return allowList(config, "allowed_images").length > 0 ? null : "the grant names no image";
}

const FAULT_TEXT: Readonly<Record<ContainerRefusal["fault"], string>> = {
  docker_required: "Docker is required but not available",
  image_missing: "The image is not there; it is never pulled",
  container_limit: "Too many containers are running",
  container_not_found: "Container not found",
  timeout: "Timed out",
  cancelled: "Cancelled",
  failed: "The container could not be run",
};

function refusal({ fault, reason }: ContainerRefusal): CapabilityOutcome {
  return failed(fault === "failed" ? "container_failed" : fault, FAULT_TEXT[fault], { reason });
}

function seconds(config: JsonObject, asked: number | null | undefined): number {
  return within(asked, numberOf(config, "max_execution_time", CAPS.seconds.standard), CAPS.seconds.most);
}

/** What was asked for, within what the grant and the house allow; all of that when nothing was. */
function within(asked: number | null | undefined, granted: number, most: number): number {
  return Math.min(asked ?? granted, granted, most);
}

function memoryOf(config: JsonObject): number {
  const granted = v.safeParse(ByteSize, config["max_memory"]);
  return granted.success ? byteCount(granted.output) : CAPS.memory_bytes.standard;
}

function keptEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !DROPPED_ENV.test(name)));
}

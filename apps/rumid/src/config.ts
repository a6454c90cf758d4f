import { resolve } from "node:path";
import { MAX_RESPONSE_BYTES, MIB } from "@rumi/core";
import type { LogLevel } from "@rumi/core";
import { RumidError } from "./errors.ts";
import { absolutePath, boolean, imageName, integer, list, number, oneOf, text } from "./settings.ts";
import type { Parse } from "./settings.ts";

/** Everything the daemon is told from outside, checked. Read once, here and nowhere else. */
export interface Config {
  /** Holds `ecosystem/` and `user_data/`. Absolute. */
  readonly home: string;
  readonly engineSocket: string;
  readonly securityMode: "strict" | "permissive";
  readonly sandbox: "auto" | "docker" | "bubblewrap";
  readonly ociRuntime: string | null;
  readonly images: { readonly python: string; readonly node: string };
  readonly block: { readonly memoryMb: number; readonly cpus: number; readonly pids: number; readonly tmpMb: number };
  readonly pool: {
    readonly maxContainers: number;
    readonly slots: number;
    readonly queue: number;
    readonly queueSeconds: number;
    readonly pauseSeconds: number;
    readonly idleRemoveSeconds: number;
  };
  readonly callLogBytes: number;
  readonly maxResponseBytes: number;
  readonly hostExecSeconds: number;
  /** The user's own runtime folder, when the system gives one. */
  readonly runtimeFolder: string | null;
  readonly sockets: { readonly capability: SocketSettings; readonly egress: SocketSettings };
  readonly egress: {
    /** Requests a minute where a grant says nothing. */
    readonly rateLimit: number;
    readonly connectSeconds: number;
    readonly readSeconds: number;
    /** Requests of one pack in flight. */
    readonly maxWorkers: number;
    /** The forward proxy inside the sandbox. */
    readonly proxy: boolean;
  };
  readonly secrets: { readonly keyFile: string | null; readonly getRateLimit: number };
  /** Where the service manager shows its credentials, if it does. */
  readonly credentialsFolder: string | null;
  readonly api: {
    readonly address: string;
    readonly port: number;
    readonly allowedHosts: readonly string[];
    readonly corsOrigins: readonly string[];
    readonly rateWindowSeconds: number;
    readonly rateLimit: number;
    readonly addressRateLimit: number;
    readonly maxBodyBytes: number;
  };
  readonly flows: { readonly maxConcurrent: number; readonly maxFileBytes: number };
  readonly signingKeyFile: string | null;
  readonly development: { readonly environment: boolean; readonly autoApproveLocal: boolean };
  readonly log: { readonly format: "json" | "text" | null; readonly level: LogLevel };
  readonly language: string | null;
  /** What else is to be said about the settings: unknown names, values that were not taken. */
  readonly warnings: readonly string[];
}

/** Where one kind of sockets lies and who may connect. Null: the standing of page "Execution", section 8. */
export interface SocketSettings {
  readonly base: string | null;
  readonly gid: number | null;
  readonly mode: "0660" | "0666" | null;
}

/** Settings that the command line's verbs and the project's tools read; not the daemon's, yet no mistakes. */
const FOREIGN_NAMES: ReadonlySet<string> = new Set([
  "RUMI_URL",
  "RUMI_TOKEN",
  "RUMI_ENGINE_STATE",
  "RUMI_DOCKERD_ARGS",
  "RUMI_BASE_ROUTE",
  "RUMI_NODE_BIN",
  "RUMI_NODE_MAJOR",
  "RUMI_NODE_MODE",
  "RUMI_NODE_EXTRA",
  "RUMI_PY_VERSION",
  "RUMI_PY_EXTRA",
  "RUMI_DOCKER_HOST",
  "RUMI_REQUIRE_ENGINE",
  "RUMI_FORCE",
  "RUMI_NO_APT",
]);

/** Longest time, count and size that are believed to be meant. */
const DAY_SECONDS = 86_400;
const GIB_MB = 1024;

/**
 * The configuration from an environment and the verb's flags.
 * @throws RumidError `rumid.invalid_setting` naming every variable whose value is not one
 */
export function loadConfig(
  flags: { readonly permissive?: boolean } = {},
  env: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const known = new Set<string>();
  const problems: string[] = [];
  const warnings: string[] = [];

  function setting<T, D>(name: string, parse: Parse<T>, fallback: D): T | D {
    known.add(name);
    const value = env[name];
    if (value === undefined || value === "") return fallback;
    try {
      return parse(value);
    } catch (cause) {
      problems.push(`${name} ${cause instanceof Error ? cause.message : "is not valid"}`);
      return fallback;
    }
  }

  const sockets = (kind: "CAPABILITY" | "EGRESS"): SocketSettings => ({
    base: setting(`RUMI_${kind}_SOCK_DIR`, absolutePath, null),
    gid: setting(`RUMI_${kind}_SOCKET_GID`, integer(0, 4_294_967_294), null),
    mode: setting(`RUMI_${kind}_SOCKET_MODE`, oneOf("0660", "0666"), null),
  });

  const mode = setting("RUMI_SECURITY_MODE", text, "strict");
  if (mode !== "strict" && mode !== "permissive") warnings.push("RUMI_SECURITY_MODE is neither strict nor permissive: strict it is");

  const config: Config = {
    home: resolve(setting("RUMI_HOME", text, ".")),
    engineSocket: setting("RUMI_ENGINE_SOCKET", absolutePath, "/var/run/docker.sock"),
    securityMode: flags.permissive === true || mode === "permissive" ? "permissive" : "strict",
    sandbox: setting("RUMI_SANDBOX", oneOf("auto", "docker", "bubblewrap"), "auto"),
    ociRuntime: setting("RUMI_DOCKER_RUNTIME", imageName, null),
    images: {
      python: setting("RUMI_PYTHON_IMAGE", imageName, "rumi-base-python:dev"),
      node: setting("RUMI_NODE_IMAGE", imageName, "rumi-base-node:dev"),
    },
    block: {
      memoryMb: setting("RUMI_BLOCK_MEMORY_MB", integer(32, 64 * GIB_MB), 256),
      cpus: setting("RUMI_BLOCK_CPUS", number(0.01, 256), 1),
      pids: setting("RUMI_BLOCK_PIDS", integer(16, 32_768), 128),
      tmpMb: setting("RUMI_BLOCK_TMP_MB", integer(1, 64 * GIB_MB), 64),
    },
    pool: {
      maxContainers: setting("RUMI_MAX_CONTAINERS", integer(1, 1024), 32),
      slots: setting("RUMI_INSTANCE_SLOTS", integer(1, 64), 4),
      queue: setting("RUMI_CALL_QUEUE", integer(0, 10_000), 64),
      queueSeconds: setting("RUMI_QUEUE_SECONDS", integer(1, 3600), 30),
      pauseSeconds: setting("RUMI_SANDBOX_PAUSE_SECONDS", integer(0, DAY_SECONDS), 0),
      idleRemoveSeconds: setting("RUMI_IDLE_REMOVE_SECONDS", integer(1, DAY_SECONDS), 900),
    },
    callLogBytes: setting("RUMI_CALL_LOG_BYTES", integer(0, 64 * MIB), 262_144),
    maxResponseBytes: setting("RUMI_MAX_RESPONSE_BYTES", integer(1024, 64 * MIB), MAX_RESPONSE_BYTES),
    hostExecSeconds: setting("RUMI_HOST_EXEC_TIMEOUT", integer(1, DAY_SECONDS), 120),
    runtimeFolder: env["XDG_RUNTIME_DIR"]?.startsWith("/") === true ? env["XDG_RUNTIME_DIR"] : null,
    sockets: { capability: sockets("CAPABILITY"), egress: sockets("EGRESS") },
    egress: {
      rateLimit: setting("RUMI_EGRESS_RATE_LIMIT", integer(1, 100_000), 60),
      connectSeconds: setting("RUMI_EGRESS_CONNECT_TIMEOUT", integer(1, 60), 10),
      readSeconds: setting("RUMI_EGRESS_READ_TIMEOUT", integer(1, 120), 30),
      maxWorkers: setting("RUMI_EGRESS_MAX_WORKERS", integer(1, 1000), 20),
      proxy: setting("RUMI_EGRESS_PROXY", oneOf("on", "off"), "on") === "on",
    },
    secrets: {
      keyFile: setting("RUMI_SECRETS_KEY_FILE", absolutePath, null),
      getRateLimit: setting("RUMI_SECRET_GET_RATE_LIMIT", integer(1, 100_000), 60),
    },
    credentialsFolder: env["CREDENTIALS_DIRECTORY"]?.startsWith("/") === true ? env["CREDENTIALS_DIRECTORY"] : null,
    api: {
      address: setting("RUMI_API_BIND_ADDRESS", text, "127.0.0.1"),
      port: setting("RUMI_API_PORT", integer(0, 65_535), 8765),
      allowedHosts: setting("RUMI_API_ALLOWED_HOSTS", list, []),
      corsOrigins: setting("RUMI_CORS_ORIGINS", list, []),
      rateWindowSeconds: setting("RUMI_API_RATE_WINDOW", integer(1, 3600), 60),
      rateLimit: setting("RUMI_API_RATE_LIMIT", integer(1, 100_000_000), 600),
      addressRateLimit: setting("RUMI_API_ADDRESS_RATE_LIMIT", integer(1, 100_000_000), 60),
      maxBodyBytes: setting("RUMI_MAX_REQUEST_BODY_BYTES", integer(1024, 1024 * MIB), 10 * MIB),
    },
    flows: {
      maxConcurrent: setting("RUMI_MAX_CONCURRENT_FLOWS", integer(1, 10_000), 10),
      maxFileBytes: setting("RUMI_MAX_FLOW_FILE_BYTES", integer(1024, 64 * MIB), MIB),
    },
    signingKeyFile: setting("RUMI_SIGNING_KEY_FILE", absolutePath, null),
    development: {
      environment: setting("RUMI_ENVIRONMENT", oneOf("production", "development"), "production") === "development",
      autoApproveLocal: setting("RUMI_AUTO_APPROVE_LOCAL", boolean, false),
    },
    log: {
      format: setting("RUMI_LOG_FORMAT", oneOf("json", "text"), null),
      level: setting("RUMI_LOG_LEVEL", oneOf("debug", "info", "warn", "error"), "info"),
    },
    language: setting("RUMI_LANG", oneOf("en", "ja"), null),
    warnings,
  };
  for (const name of Object.keys(env)) {
    if (name.startsWith("RUMI_") && !known.has(name) && !FOREIGN_NAMES.has(name))
      warnings.push(`${name} is not a setting of this daemon: it does nothing`);
  }
  const { address, allowedHosts } = config.api;
  if (!isLoopback(address) && allowedHosts.length === 0) {
    problems.push(`RUMI_API_BIND_ADDRESS is not a loopback address: RUMI_API_ALLOWED_HOSTS must name the hosts to serve`);
  }
  if (problems.length > 0) throw new RumidError("rumid.invalid_setting", problems.join("; "));
  return config;
}

/** True for an address that only this machine reaches. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127(\.\d{1,3}){3}$/u.test(address);
}

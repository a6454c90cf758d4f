import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { removeTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../../examples", import.meta.url));
/** Which sandbox the tests' daemons use, where a test does not say: `RUMI_TEST_SANDBOX=bubblewrap` for a run on that one. */
const SANDBOX = { RUMI_SANDBOX: process.env["RUMI_TEST_SANDBOX"] ?? "auto" } as const;
/** A start that takes longer has failed. */
const READY_MS = 60_000;

/** What an endpoint answered. */
export interface Answer<Data = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: { readonly success: boolean; readonly data: Data; readonly error: string | null; readonly code: string | null };
}

/** A home in a temporary folder, removed with its scope, read-only snapshots too. */
export class TestHome implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<TestHome> {
    return new TestHome((await temporaryFolder("rumi-e2e-")).path);
  }

  at(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Copies one of the example packs, or a map of files, into `ecosystem/`. */
  async addPack(id: string, files?: Readonly<Record<string, string>>): Promise<void> {
    const folder = this.at("ecosystem", id);
    if (files === undefined) {
      await cp(join(EXAMPLES, "packs", id), folder, { recursive: true });
      return;
    }
    for (const [path, text] of Object.entries({
      "ecosystem.json": JSON.stringify({ pack_id: id, pack_identity: `local:${id}` }),
      ...files,
    }))
      await this.write(join("ecosystem", id, path), text);
  }

  async addFlow(id: string, yaml: string): Promise<void> {
    await this.write(join("user_data", "shared", "flows", `${id}.flow.yaml`), yaml);
  }

  async write(path: string, text: string): Promise<void> {
    await mkdir(dirname(this.at(path)), { recursive: true });
    await writeFile(this.at(path), text);
  }

  read(path: string): Promise<string> {
    return readFile(this.at(path), "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeTree(this.path);
    await rm(this.path, { recursive: true, force: true });
  }
}

/** A block in Python that returns its `text`, sleeping first when told to. */
export const ECHO_BLOCK = `import time

def run(data, context=None):
    time.sleep(data.get("sleep") or 0)
    return {"said": data.get("text"), "version": 1}
`;

/** A flow of one Python block of one pack. */
export function blockFlow(
  flowId: string,
  pack: string,
  options: { readonly file?: string; readonly timeout?: number; readonly extra?: string } = {},
): string {
  return `flow_id: ${flowId}
phases: [main]
steps:
  - id: call
    phase: main
    type: file_call
    owner_pack: ${pack}
    file: ${options.file ?? "blocks/echo.py"}
    timeout_seconds: ${options.timeout ?? 60}
${options.extra ?? ""}    input: { text: "\${ctx.text}", sleep: "\${ctx.sleep}" }
    output: answer
`;
}

/** Words that run a command in a mount namespace of its own, after `change` was done to what it sees. */
export function changed(change: string): string[] {
  return ["unshare", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "--mount", "sh", "-c", `${change} && exec "$@"`, "sh"];
}

/** The real daemon as a child process. */
export class DaemonProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly url: string;
  readonly startedWith: { readonly data: Record<string, unknown> };
  readonly token: string;
  readonly #output: { stdout: string; stderr: string };
  readonly #exit: Promise<number | null>;

  private constructor(
    child: ChildProcess,
    output: { stdout: string; stderr: string },
    exit: Promise<number | null>,
    data: Record<string, unknown>,
    token: string,
  ) {
    this.child = child;
    this.#output = output;
    this.#exit = exit;
    this.startedWith = { data };
    this.url = String(data["url"]);
    this.token = token;
  }

  /**
   * `inside`: words of a command that runs the daemon, such as one that changes what it sees of the machine. `main`: a program
   * other than the daemon's own that starts it.
   */
  static async start(
    home: TestHome,
    env: Readonly<Record<string, string>> = {},
    flags: readonly string[] = [],
    inside: readonly string[] = [],
    main?: URL,
  ): Promise<DaemonProcess> {
    const { child, output, exit } = launch(home, ["start", "--json", ...flags], env, inside, main);
    const deadline = Date.now() + READY_MS;
    for (;;) {
      const line = output.stdout.split("\n").find((text) => text.startsWith("{"));
      if (line !== undefined) {
        const body = JSON.parse(line) as { success: boolean; data: Record<string, unknown> };
        if (!body.success) throw new Error(`the daemon did not start: ${line}`);
        const token = await home.read("user_data/settings/api_token").catch(() => "");
        return new DaemonProcess(child, output, exit, body.data, token.trim());
      }
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`the daemon did not start (exit ${child.exitCode}): ${output.stderr}${output.stdout}`);
      }
      await sleep(20);
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get stderr(): string {
    return this.#output.stderr;
  }

  get stdout(): string {
    return this.#output.stdout;
  }

  async request<Data = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Answer<Data>> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: (await response.json()) as Answer<Data>["body"] };
  }

  get<Data = Record<string, unknown>>(path: string): Promise<Answer<Data>> {
    return this.request<Data>("GET", path);
  }

  post<Data = Record<string, unknown>>(path: string, body?: unknown): Promise<Answer<Data>> {
    return this.request<Data>("POST", path, body ?? {});
  }

  approve(id: string): Promise<Answer> {
    return this.post(`/api/packs/${id}/approve`);
  }

  run(flowId: string, inputs: Record<string, unknown> = {}, timeout?: number): Promise<Answer<RunData>> {
    return this.post<RunData>(`/api/flows/${flowId}/run`, { inputs, ...(timeout === undefined ? {} : { timeout }) });
  }

  async status(id: string): Promise<string> {
    return (await this.get<{ status: string }>(`/api/packs/${id}/status`)).body.data.status;
  }

  /** Signals and waits for the end; answers the exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return this.#exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const limit = setTimeout(() => this.child.kill("SIGKILL"), 30_000);
    await this.stop();
    clearTimeout(limit);
  }
}

/** A run's answer, as far as these tests read it. */
export interface RunData {
  readonly run_id: string;
  readonly state: string;
  readonly result: Record<string, unknown> | null;
  readonly failed_steps: readonly {
    readonly code: string;
    readonly error_type: string;
    readonly message: string;
    readonly remedy?: string;
  }[];
  readonly warnings: readonly string[];
  readonly execution_mode: string | null;
  readonly reason: string | null;
}

/** Runs a verb of `rumid` to its end. */
export async function rumid(
  home: TestHome,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const { output, exit } = launch(home, argv, env);
  const code = await exit;
  return { code, ...output };
}

/** Starts a verb of `rumid` and gives its output while it comes. */
export function launch(
  home: TestHome,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  inside: readonly string[] = [],
  main?: URL,
) {
  const script = main === undefined ? MAIN : fileURLToPath(main);
  const [program = process.execPath, ...words] = [...inside, process.execPath, "--conditions=rumi-source", script, ...argv];
  const child = spawn(program, words, {
    cwd: home.path,
    env: { PATH: process.env["PATH"] ?? "", RUMI_HOME: home.path, RUMI_API_PORT: "0", RUMI_LOG_FORMAT: "json", ...SANDBOX, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  const exit = new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  return { child, output, exit };
}

/** Waits until `is` holds, at most `maxMs`. @throws when it never does */
export async function until(is: () => Promise<boolean> | boolean, maxMs = 10_000): Promise<void> {
  const deadline = Date.now() + maxMs;
  while (!(await is())) {
    if (Date.now() > deadline) throw new Error("it never came to hold");
    await sleep(25);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

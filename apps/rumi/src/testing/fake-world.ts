import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FakeHouse } from "@rumi/api/testing";
import { runCli } from "../program.ts";
import type { World } from "../world.ts";

const PROJECT_ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "..");

/** What a command line printed and how it ended. */
export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A world whose daemon is a fake house reached without a socket. */
export class FakeWorld {
  readonly files = new Map<string, string>();
  readonly env: Record<string, string> = {};
  /** Keys a person presses, in order. */
  readonly keys: string[] = [];
  /** What is read as a secret, in order; nothing when it is used up. */
  readonly secrets: string[] = [];
  /** Prompts that asked for a secret. */
  readonly prompts: string[] = [];
  /** Arguments `rumid` was started with. */
  readonly daemonRuns: string[][] = [];
  daemonEnd = { exitCode: 0, stdout: '{"success":true,"data":{"checks":[]},"error":null,"code":null}\n' };
  interactive = false;
  readonly #house: FakeHouse | null;
  readonly #interrupted = new AbortController();

  constructor(house: FakeHouse | null, token: string | null) {
    this.#house = house;
    if (token !== null) this.files.set("/home/op/user_data/settings/api_token", `${token}\n`);
  }

  interrupt(): void {
    this.#interrupted.abort();
  }

  async run(...args: string[]): Promise<CliRun> {
    return await this.#run(args, false);
  }

  /** Exit code of only parsing a command line. */
  async parses(...args: string[]): Promise<number> {
    return (await this.#run(args, true)).exitCode;
  }

  async #run(args: readonly string[], parseOnly: boolean): Promise<CliRun> {
    let stdout = "";
    let stderr = "";
    const house = this.#house;
    const world: World = {
      env: this.env,
      cwd: "/home/op",
      projectRoot: PROJECT_ROOT,
      stdout: (text) => (stdout += text),
      stderr: (text) => (stderr += text),
      interactive: this.interactive,
      readKey: () => Promise.resolve(this.keys.shift() ?? "q"),
      readSecret: (prompt) => {
        this.prompts.push(prompt);
        return Promise.resolve(this.secrets.shift() ?? null);
      },
      readText: (path) =>
        path.startsWith(join(PROJECT_ROOT, "lang")) ? readFile(path, "utf8") : Promise.resolve(this.files.get(path) ?? null),
      runDaemon: (daemonArgs, { captureStdout }) => {
        this.daemonRuns.push([...daemonArgs]);
        if (!captureStdout && daemonArgs.includes("--json")) stdout += this.daemonEnd.stdout;
        return Promise.resolve(this.daemonEnd);
      },
      fetch: async (input, init) => {
        if (house === null) throw new TypeError("fetch failed");
        const answer = house.api.app.request(input instanceof Request ? input : input.toString(), init);
        const signal = init?.signal;
        if (signal === undefined || signal === null) return await answer;
        return await Promise.race([
          answer,
          new Promise<never>((_, reject) => {
            signal.addEventListener("abort", () => {
              reject(new Error("aborted"));
            });
          }),
        ]);
      },
      interrupted: this.#interrupted.signal,
      parseOnly,
    };
    const exitCode = await runCli(args, world);
    return { exitCode, stdout, stderr };
  }
}

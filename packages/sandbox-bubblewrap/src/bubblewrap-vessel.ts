import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { InstanceEnd, Vessel } from "@rumi/sandbox";
import type { Command } from "./launch.ts";
import { SECCOMP_FD } from "./launch.ts";
import { hostEnvironment } from "./run-program.ts";
import type { InstanceCgroup } from "./ports.ts";

/** How long after its runner's connection closed the sandbox's end is waited for before it is killed. */
const EXIT_GRACE_MS = 2_000;

/** Most bytes kept of what a launcher said when it failed. */
const MAX_WORDS = 2_048;

/** Everything a sandbox is launched from. */
export interface BubblewrapVesselDeps {
  readonly command: Command;
  /** Filter program for the kernel. */
  readonly seccomp: Uint8Array;
  readonly cgroup: InstanceCgroup;
  /** Told what the launcher said when it ended by itself. It may hold host paths. */
  readonly onWords: (words: string) => void;
}

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Starts a command with the filter program on its descriptor; `words` gives the end of what it says. */
export function launch(command: Command, seccomp: Uint8Array): { readonly child: ChildProcess; readonly words: () => string } {
  const child = spawn(command.file, [...command.args], {
    cwd: "/",
    env: hostEnvironment(),
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-MAX_WORDS);
  });
  const filter = child.stdio[SECCOMP_FD];
  if (filter !== null && filter !== undefined && "end" in filter) {
    filter.on("error", () => {});
    filter.end(seccomp);
  }
  return { child, words: () => text };
}

/** One sandbox: the launcher's process, the namespaces it made, and their control group. */
export class BubblewrapVessel implements Vessel {
  readonly #deps: BubblewrapVesselDeps;
  readonly #exited = Promise.withResolvers<Exit>();
  readonly ended: Promise<InstanceEnd>;
  #child: ChildProcess | null = null;
  #isRemoved = false;

  constructor(deps: BubblewrapVesselDeps) {
    this.#deps = deps;
    this.ended = this.#exited.promise.then((exit) => this.#explainExit(exit));
  }

  async launch(): Promise<void> {
    const { child, words } = launch(this.#deps.command, this.#deps.seccomp);
    this.#child = child;
    child.once("error", () => this.#exited.resolve({ code: null, signal: null }));
    child.once("exit", (code, signal) => {
      if (!this.#isRemoved) this.#deps.onWords(words());
      this.#exited.resolve({ code, signal });
    });
    if (child.pid !== undefined) await this.#deps.cgroup.started(child.pid);
  }

  async explainLoss(): Promise<InstanceEnd> {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), EXIT_GRACE_MS).unref());
    return (await Promise.race([this.ended, late])) ?? { kind: "crashed", message: "the runner closed its connection" };
  }

  async pause(): Promise<void> {
    await this.#deps.cgroup.freeze();
  }

  async resume(): Promise<void> {
    await this.#deps.cgroup.thaw();
  }

  async memoryBytes(): Promise<number | null> {
    return await this.#deps.cgroup.memoryBytes();
  }

  /** bubblewrap's end is the end of all inside; the control group also holds what never came that far. */
  async remove(): Promise<void> {
    this.#isRemoved = true;
    await this.#deps.cgroup.thaw();
    this.#child?.kill("SIGKILL");
    await Promise.all([this.#deps.cgroup.remove(), this.#child === null ? null : this.#exited.promise]);
  }

  async #explainExit(exit: Exit): Promise<InstanceEnd> {
    if (wasKilled(exit) && !this.#isRemoved && (await this.#deps.cgroup.oomKills()) > 0) {
      return { kind: "oom_killed", message: "the sandbox went over its memory limit" };
    }
    const how = exit.signal === null ? `exit code ${String(exit.code)}` : exit.signal;
    return { kind: "crashed", message: `the sandbox ended with ${how}` };
  }
}

/** Exit code of a process ended by SIGKILL, as bubblewrap passes it on. */
const KILLED = 137;

function wasKilled(exit: Exit): boolean {
  return exit.code === KILLED || exit.signal === "SIGKILL";
}

import { execFile } from "node:child_process";

/** Longest run of a program of the host that is asked something. */
const TIMEOUT_MS = 60_000;

/** Most bytes of an answer. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/** How a program of the host ended. `code` is null when it could not be started or was killed. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program of the host is given: a search path, and where the user's service manager listens. Nothing of the daemon's. */
export function hostEnvironment(): Record<string, string> {
  return {
    PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    LC_ALL: "C",
    XDG_RUNTIME_DIR: `/run/user/${String(process.getuid?.() ?? 0)}`,
  };
}

/** Runs a program of the host; never throws. */
export function runProgram(file: string, args: readonly string[]): Promise<ProgramEnd> {
  return new Promise((resolve) => {
    const options = {
      env: hostEnvironment(),
      timeout: TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
    };
    execFile(file, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : null;
      resolve({ code, stdout, stderr });
    });
  });
}

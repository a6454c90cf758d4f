/** How a child process ended. */
export interface ChildEnd {
  readonly exitCode: number;
  readonly stdout: string;
}

/** Everything the command line touches outside itself. Tests pass their own. */
export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The installation's folder: where `lang/` and `apps/` are. */
  readonly projectRoot: string;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** True when a person sits at both ends: prompts and colour only then. */
  readonly interactive: boolean;
  /** Waits for one key of a person. Only called when `interactive`. */
  readonly readKey: () => Promise<string>;
  /** A value that is shown nowhere: from a hidden prompt, or all of stdin when no person sits there. Null when there is none. */
  readonly readSecret: (prompt: string) => Promise<string | null>;
  /** Text of a small file, or null when there is none or it is not readable. */
  readonly readText: (path: string) => Promise<string | null>;
  /** Runs `rumid` with these arguments; its stderr is ours. */
  readonly runDaemon: (args: readonly string[], options: { readonly captureStdout: boolean }) => Promise<ChildEnd>;
  readonly fetch: typeof fetch;
  /** Aborted when the person presses Ctrl-C. */
  readonly interrupted: AbortSignal;
  /** True to check a command line without doing anything. */
  readonly parseOnly?: boolean;
}

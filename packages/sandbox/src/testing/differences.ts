/**
 * Ways in which a runtime is known to keep less than the whole contract, inside a pack's own instance. The walls between packs
 * and towards the host are the same with each of them. Each replaces the tests that it makes untrue by tests of what holds
 * then: `different-escapes.ts`.
 */
export type Difference =
  /** The filter of system calls is not loaded: the runtime's own kernel answers them, each in its way. */
  | "unfiltered"
  /** A signal from inside ends process 1, and with it the pack's own instance. */
  | "killable_runner"
  /** `/proc` shows the environment, the maps and the open files of the instance's other processes, never their memory. */
  | "inspectable_runner"
  /** Going over the memory limit ends the instance, not the one process. */
  | "memory_ends_instance"
  /** Going over the process limit ends the instance instead of failing the one fork. */
  | "processes_end_instance"
  /** `/tmp` has no limit of files: their number ends with the instance's memory. */
  | "files_unlimited";

/** One seccomp rule in the form an OCI engine takes inline. */
export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

/** A condition on one argument of a system call. */
export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ";
}

/** A whole profile: what is not named fails with EPERM; foreign instruction sets (32-bit, x32) end the process. */
export interface SeccompProfile {
  readonly defaultAction: "SCMP_ACT_ERRNO";
  readonly defaultErrnoRet: number;
  readonly archMap: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly syscalls: readonly SeccompRule[];
}

/** Errors a list may name, by their Linux number. */
const ERRNO: Readonly<Record<string, number>> = { EPERM: 1, ENOSYS: 38 };

/** The instruction sets base images exist for. No sub-architectures: 32-bit entry points are a second, older kernel surface. */
const ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];

const NAME = /^[a-z][a-z0-9_]*$/u;

/** What a list says, line by line. */
export interface SyscallList {
  /** Calls that are allowed, whatever their arguments. */
  readonly allowed: ReadonlySet<string>;
  /** Calls that are allowed on a condition, or fail with another error than EPERM. */
  readonly special: readonly SeccompRule[];
  /** Exceptions from `allowed`, by argument. Only a filter of our own can say them: an engine's rule language cannot. */
  readonly refused: readonly SeccompRule[];
}

/**
 * Reads a list (syntax: head of `syscalls.txt`).
 * @throws Error naming the line that cannot be read, is a double, or breaks a `never`.
 */
export function parseList(list: string): SyscallList {
  const allowed = new Set<string>();
  const never = new Set<string>();
  const special: SeccompRule[] = [];
  const refused: SeccompRule[] = [];
  list.split("\n").forEach((raw, index) => {
    const line = raw.replace(/#.*$/u, "").trim();
    if (line === "" || /^\[.+\]$/u.test(line)) return;
    const fail = (why: string): never => {
      throw new Error(`line ${String(index + 1)}: ${why}: ${line}`);
    };
    const words = line.split(/\s+/u);
    const [first = "", second] = words;
    if (first === "never") for (const name of words.slice(1)) never.add(name);
    else if (second === "if") special.push({ names: [first], action: "SCMP_ACT_ALLOW", args: readCondition(words.slice(2), fail) });
    else if (second === "refuses") refused.push({ names: [first], action: "SCMP_ACT_ERRNO", args: readCondition(words.slice(2), fail) });
    else if (second === "fails") special.push(readFailure(first, words.slice(2), fail));
    else {
      for (const name of words) {
        if (!NAME.test(name)) fail(`not a system call's name (${name})`);
        if (allowed.has(name)) fail(`named twice (${name})`);
        allowed.add(name);
      }
    }
  });
  for (const rule of special) {
    const clash = rule.names.find((name) => allowed.has(name));
    if (clash !== undefined) throw new Error(`${clash} is allowed both always and on a condition`);
  }
  const open = new Set([...allowed, ...special.filter((r) => r.action === "SCMP_ACT_ALLOW").flatMap((r) => r.names)]);
  for (const name of never) if (open.has(name)) throw new Error(`${name} must never be allowed`);
  for (const name of refused.flatMap((rule) => rule.names)) {
    if (!allowed.has(name)) throw new Error(`${name} has an exception but is not allowed`);
  }
  return { allowed, special, refused };
}

/**
 * Builds the profile a list describes, for an engine that takes it inline.
 * @throws Error as `parseList`
 */
export function buildProfile(list: string): SeccompProfile {
  const { allowed, special } = parseList(list);
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ERRNO["EPERM"] ?? 1,
    archMap: ARCHITECTURES.map((architecture) => ({ architecture, subArchitectures: [] })),
    syscalls: [{ names: [...allowed].sort(), action: "SCMP_ACT_ALLOW" }, ...special],
  };
}

/** The profile as the file holds it. */
export function profileText(list: string): string {
  return `${JSON.stringify(buildProfile(list), null, 1)}\n`;
}

function readCondition(words: readonly string[], fail: (why: string) => never): SeccompArgument[] {
  return words
    .join(" ")
    .split(" and ")
    .map((text): SeccompArgument => {
      const found = /^arg([0-5])(?: & (0x[0-9a-f]+|\d+))? == (0x[0-9a-f]+|\d+)$/u.exec(text);
      if (found === null) return fail("condition cannot be read");
      const index = Number(found[1]);
      const wanted = Number(found[3]);
      return found[2] === undefined
        ? { index, value: wanted, valueTwo: 0, op: "SCMP_CMP_EQ" }
        : { index, value: Number(found[2]), valueTwo: wanted, op: "SCMP_CMP_MASKED_EQ" };
    });
}

function readFailure(name: string, words: readonly string[], fail: (why: string) => never): SeccompRule {
  const errno = words.length === 1 ? ERRNO[words[0] ?? ""] : undefined;
  if (errno === undefined) return fail("error is not known");
  return { names: [name], action: "SCMP_ACT_ERRNO", errnoRet: errno };
}

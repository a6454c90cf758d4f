import { parseList } from "./profile.ts";
import type { SeccompArgument, SyscallList } from "./profile.ts";

/** Machines a program is made for, in the order of the columns of `numbers.txt`. */
export const MACHINES = ["x86_64", "aarch64"] as const;
export type Machine = (typeof MACHINES)[number];

/** `AUDIT_ARCH_*` of linux/audit.h. */
const AUDIT_ARCH: Readonly<Record<Machine, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };

/** First number of the x32 calls, a second entry into an x86_64 kernel. */
const X32_BIT = 0x40000000;

/** Instructions of classic BPF that are used (linux/bpf_common.h). */
const LOAD = 0x20;
const AND = 0x54;
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Answers of a filter (linux/seccomp.h). */
const KILL_PROCESS = 0x80000000;
const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const EPERM = 1;

/** Where `struct seccomp_data` holds the number, the machine and the arguments (little-endian: low half first). */
const AT_NUMBER = 0;
const AT_ARCH = 4;
const atLow = (index: number): number => 16 + 8 * index;
const atHigh = (index: number): number => 20 + 8 * index;

/** Most instructions the kernel takes. */
const MAX_INSTRUCTIONS = 4096;

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** What happens to one number: an answer, or conditions that lead to one. */
type Verdict =
  | { readonly kind: "answer"; readonly answer: number }
  | {
      readonly kind: "conditions";
      readonly any: readonly (readonly SeccompArgument[])[];
      readonly fits: number;
      readonly otherwise: number;
    };

/** Numbers by name, of one machine. */
export type SyscallNumbers = ReadonlyMap<string, number>;

/**
 * Reads `numbers.txt`.
 * @throws Error naming the line that cannot be read
 */
export function parseNumbers(text: string, machine: Machine): SyscallNumbers {
  const numbers = new Map<string, number>();
  text.split("\n").forEach((line, index) => {
    if (line === "" || line.startsWith("#")) return;
    const found = /^([a-z0-9_]+) (\d+|-) (\d+|-)$/u.exec(line);
    if (found === null || numbers.has(found[1] ?? "")) throw new Error(`line ${String(index + 1)} cannot be read: ${line}`);
    const number = found[2 + MACHINES.indexOf(machine)];
    if (number !== "-") numbers.set(found[1] ?? "", Number(number));
  });
  return numbers;
}

/**
 * The filter program of a list for one machine, as the kernel takes it. Foreign instruction sets (32-bit, x32) end the process.
 * @throws Error for a list as `parseList`, for a name whose number is not known, for a program that is too long
 */
export function assembleFilter(list: string, numbersText: string, machine: Machine): Uint8Array {
  const verdicts = verdictsOf(parseList(list), parseNumbers(numbersText, machine), knownNames(numbersText));
  const program: Instruction[] = [
    { code: LOAD, jt: 0, jf: 0, k: AT_ARCH },
    { code: JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH[machine] },
    { code: RETURN, jt: 0, jf: 0, k: KILL_PROCESS },
    { code: LOAD, jt: 0, jf: 0, k: AT_NUMBER },
    ...(machine === "x86_64"
      ? [
          { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
          { code: RETURN, jt: 0, jf: 0, k: KILL_PROCESS },
        ]
      : []),
    ...searchTree(segments(verdicts)),
  ];
  if (program.length > MAX_INSTRUCTIONS) throw new Error(`the program has ${String(program.length)} instructions`);
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(({ code, jt, jf, k }, index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, jt);
    bytes.setUint8(index * 8 + 3, jf);
    bytes.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(bytes.buffer);
}

/** The generated file: a program per machine, in base64. */
export function programsText(list: string, numbersText: string): string {
  const programs = Object.fromEntries(
    MACHINES.map((machine) => [machine, Buffer.from(assembleFilter(list, numbersText, machine)).toString("base64")]),
  );
  return `${JSON.stringify(programs, null, 1)}\n`;
}

function knownNames(numbersText: string): ReadonlySet<string> {
  return new Set(
    numbersText
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => line.split(" ")[0] ?? ""),
  );
}

function verdictsOf(list: SyscallList, numbers: SyscallNumbers, known: ReadonlySet<string>): ReadonlyMap<number, Verdict> {
  const verdicts = new Map<number, Verdict>();
  const put = (name: string, verdict: Verdict): void => {
    if (!known.has(name)) throw new Error(`the number of ${name} is not known`);
    const number = numbers.get(name);
    if (number !== undefined) verdicts.set(number, verdict);
  };
  for (const name of list.allowed) put(name, { kind: "answer", answer: ALLOW });
  for (const name of new Set(list.refused.flatMap((rule) => rule.names))) {
    const any = list.refused.filter((rule) => rule.names.includes(name)).map((rule) => rule.args ?? []);
    put(name, { kind: "conditions", any, fits: ERRNO | EPERM, otherwise: ALLOW });
  }
  for (const name of new Set(list.special.flatMap((rule) => rule.names))) {
    const rules = list.special.filter((rule) => rule.names.includes(name));
    const failure = rules.find((rule) => rule.action === "SCMP_ACT_ERRNO");
    if (failure !== undefined) put(name, { kind: "answer", answer: ERRNO | (failure.errnoRet ?? EPERM) });
    else put(name, { kind: "conditions", any: rules.map((rule) => rule.args ?? []), fits: ALLOW, otherwise: ERRNO | EPERM });
  }
  return verdicts;
}

interface Segment {
  readonly from: number;
  readonly verdict: Verdict;
}

/** All numbers from 0 on, cut where the verdict changes. What has no verdict fails with EPERM. */
function segments(verdicts: ReadonlyMap<number, Verdict>): readonly Segment[] {
  const refused: Verdict = { kind: "answer", answer: ERRNO | EPERM };
  const found: Segment[] = [];
  const last = Math.max(...verdicts.keys());
  for (let number = 0; number <= last + 1; number += 1) {
    const verdict = verdicts.get(number) ?? refused;
    const before = found.at(-1)?.verdict;
    const same = before?.kind === "answer" && verdict.kind === "answer" && before.answer === verdict.answer;
    if (!same) found.push({ from: number, verdict });
  }
  return found;
}

/** Finds the segment of the loaded number by halving; jumps over long halves are long jumps. */
function searchTree(found: readonly Segment[]): Instruction[] {
  const [only] = found;
  if (only === undefined) return [];
  if (found.length === 1) return leaf(only.verdict);
  const middle = found.length >> 1;
  const low = searchTree(found.slice(0, middle));
  return [
    { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: found[middle]?.from ?? 0 },
    { code: JUMP, jt: 0, jf: 0, k: low.length },
    ...low,
    ...searchTree(found.slice(middle)),
  ];
}

function leaf(verdict: Verdict): Instruction[] {
  if (verdict.kind === "answer") return [{ code: RETURN, jt: 0, jf: 0, k: verdict.answer }];
  return [...verdict.any.flatMap((args) => conjunction(args, verdict.fits)), { code: RETURN, jt: 0, jf: 0, k: verdict.otherwise }];
}

/** Gives `answer` when every argument fits; else goes on behind itself. */
function conjunction(args: readonly SeccompArgument[], answer: number): Instruction[] {
  const tests = args.flatMap(({ index, value, valueTwo, op }): Instruction[] => {
    const low = { code: LOAD, jt: 0, jf: 0, k: atLow(index) };
    if (op === "SCMP_CMP_EQ") {
      return [{ code: LOAD, jt: 0, jf: 0, k: atHigh(index) }, equal(0), low, equal(value)];
    }
    return [low, { code: AND, jt: 0, jf: 0, k: value }, equal(valueTwo)];
  });
  const length = tests.length + 1;
  return [
    ...tests.map((test, place) => (test.code === JUMP_EQUAL ? { ...test, jf: length - place - 1 } : test)),
    { code: RETURN, jt: 0, jf: 0, k: answer },
  ];
}

function equal(k: number): Instruction {
  return { code: JUMP_EQUAL, jt: 0, jf: 0, k };
}

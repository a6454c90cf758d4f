import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseList } from "./profile.ts";
import { assembleFilter, MACHINES, parseNumbers, programsText } from "./program.ts";
import type { Machine } from "./program.ts";

const list = readFileSync(new URL("syscalls.txt", import.meta.url), "utf8");
const numbersText = readFileSync(new URL("numbers.txt", import.meta.url), "utf8");

const ARCH: Readonly<Record<Machine, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
const ALLOWED = "allowed";
const EPERM = "errno 1";
const ENOSYS = "errno 38";
const KILLED = "killed";

/** Runs a program as the kernel does. */
function run(program: Uint8Array, call: { arch: number; nr: number; args?: readonly bigint[] }): string {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.nr, true);
  data.setUint32(4, call.arch, true);
  (call.args ?? []).forEach((value, index) => data.setBigUint64(16 + 8 * index, value, true));
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let register = 0;
  for (let at = 0; at < program.byteLength / 8; at += 1) {
    const k = code.getUint32(at * 8 + 4, true);
    const jump = (passes: boolean): void => void (at += code.getUint8(at * 8 + (passes ? 2 : 3)));
    switch (code.getUint16(at * 8, true)) {
      case 0x20:
        register = data.getUint32(k, true);
        break;
      case 0x54:
        register = (register & k) >>> 0;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        jump(register === k);
        break;
      case 0x35:
        jump(register >= k);
        break;
      case 0x06:
        if (k === 0x7fff0000) return ALLOWED;
        if (k === 0x80000000) return KILLED;
        return `errno ${String(k & 0xffff)}`;
      default:
        throw new Error("an instruction that is not used");
    }
  }
  throw new Error("the program has no end");
}

test("the shipped programs are what the list describes", () => {
  const stored = readFileSync(new URL("../../packages/sandbox-bubblewrap/src/seccomp.json", import.meta.url), "utf8");
  expect(stored).toBe(programsText(list, numbersText));
});

test.each(MACHINES)("on %s every number gets the verdict of its name, and no other number is allowed", (machine) => {
  const program = assembleFilter(list, numbersText, machine);
  const { allowed, special, refused } = parseList(list);
  const conditional = new Set([...special, ...refused].flatMap((rule) => rule.names));
  const names = new Map([...parseNumbers(numbersText, machine)].map(([name, number]) => [number, name]));
  for (let nr = 0; nr < 1024; nr += 1) {
    const name = names.get(nr);
    if (name !== undefined && conditional.has(name)) continue;
    expect(run(program, { arch: ARCH[machine], nr }), `${String(nr)} ${name ?? ""}`).toBe(
      name !== undefined && allowed.has(name) ? ALLOWED : EPERM,
    );
  }
});

test.each(MACHINES)("on %s another instruction set ends the process", (machine) => {
  const program = assembleFilter(list, numbersText, machine);
  for (const arch of [0x40000003, 0x40000028, ARCH[machine === "x86_64" ? "aarch64" : "x86_64"]]) {
    expect(run(program, { arch, nr: 1 })).toBe(KILLED);
  }
});

test("on x86_64 the x32 calls end the process, whatever their number", () => {
  const program = assembleFilter(list, numbersText, "x86_64");
  fc.assert(fc.property(fc.integer({ min: 0x40000000, max: 0xffffffff }), (nr) => run(program, { arch: ARCH.x86_64, nr }) === KILLED));
});

test.each(MACHINES)("on %s conditions look at the whole argument, or at the bits that the kernel looks at", (machine) => {
  const program = assembleFilter(list, numbersText, machine);
  const numbers = parseNumbers(numbersText, machine);
  const verdict = (name: string, ...args: bigint[]): string => run(program, { arch: ARCH[machine], nr: numbers.get(name) ?? -1, args });
  for (const family of [1n, 2n, 10n]) expect(verdict("socket", family)).toBe(ALLOWED);
  for (const family of [0n, 3n, 16n, 17n, 38n, 40n, 1n + (1n << 32n)]) expect(verdict("socket", family, 0n, 9n)).toBe(EPERM);
  expect(verdict("socket", 16n, 3n, 0n)).toBe(ALLOWED);
  expect(verdict("clone", 0x11n)).toBe(ALLOWED);
  for (const bit of [0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n]) {
    expect(verdict("clone", 0x11n | bit)).toBe(EPERM);
  }
  expect(verdict("clone3")).toBe(ENOSYS);
  expect(verdict("mknodat", 0n, 0n, 0x1180n)).toBe(ALLOWED);
  expect(verdict("mknodat", 0n, 0n, 0x2180n)).toBe(EPERM);
  expect(verdict("ioctl", 0n, 0x5401n)).toBe(ALLOWED);
  for (const high of [0n, 1n << 32n, 0xffffffffn << 32n]) {
    for (const request of [0x5412n, 0x541cn]) expect(verdict("ioctl", 0n, request | high)).toBe(EPERM);
  }
});

test("a name without a number is refused, as is a number list that cannot be read", () => {
  expect(() => assembleFilter("nonesuch", numbersText, "x86_64")).toThrow(/nonesuch is not known/u);
  expect(() => parseNumbers("read zero 63", "x86_64")).toThrow(/line 1/u);
  expect(() => parseNumbers("read 0 63\nread 0 63", "x86_64")).toThrow(/line 2/u);
});

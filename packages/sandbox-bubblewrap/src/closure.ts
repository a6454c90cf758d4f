import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Runtime } from "@rumi/sandbox";
import { SandboxError } from "@rumi/sandbox";
import { runProgram } from "./run-program.ts";

/** One file of the host that belongs into a root, and where. */
export interface ClosureFile {
  readonly source: string;
  /** Below the root: `bin/`, `lib/`, `share/`. */
  readonly target: string;
  /** `secret`: executable but readable for nobody, so that the kernel makes its process non-dumpable. */
  readonly kind: "plain" | "executable" | "secret";
}

/** Everything of the host that one interpreter needs. */
export interface Closure {
  readonly runtime: Runtime;
  readonly files: readonly ClosureFile[];
  /** Folder of the standard library below the root, where there is one to compile. */
  readonly library: string | null;
}

/** Parts of Python's library that no block needs: tests, tools, what only a build or a screen needs, and what steers start-up. */
const LEFT_OUT_FOLDERS = new Set([
  "__pycache__",
  "test",
  "tests",
  "idlelib",
  "lib2to3",
  "turtledemo",
  "tkinter",
  "ensurepip",
  "venv",
  "pydoc_data",
  "site-packages",
  "dist-packages",
]);
const LEFT_OUT_FILES =
  /^(?:sitecustomize\.py|usercustomize\.py|EXTERNALLY-MANAGED|_test.*\.so|_ctypes_test.*|_xxtest.*|xxlimited.*|.*\.(?:a|pth|pyc))$/u;
const LEFT_OUT_TOP = /^config-/u;

/** Libraries that libc opens by itself, beside it in its folder. */
const OPENED_BY_LIBC = ["libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

/** Where the host keeps time zones; `right` and `posix` are copies of the others. */
const ZONES = "/usr/share/zoneinfo";
const LEFT_OUT_ZONES = new Set(["right", "posix", "posixrules", "localtime", "leapseconds"]);

const QUESTION = [
  "import json, os, sys, sysconfig",
  "print(json.dumps({'version': '%d.%d' % sys.version_info[:2], 'platlibdir': sys.platlibdir,",
  " 'stdlib': sysconfig.get_path('stdlib'), 'executable': os.path.realpath(sys.executable)}))",
].join("\n");

/**
 * Plans what a root for `interpreter` holds; touches nothing.
 * @throws SandboxError `sandbox.image_missing` when the interpreter does not run or its libraries are not found
 */
export async function planClosure(runtime: Runtime, interpreter: string): Promise<Closure> {
  return runtime === "python" ? await planPython(interpreter) : await planNode(interpreter);
}

async function planPython(interpreter: string): Promise<Closure> {
  const asked = await runProgram(interpreter, ["-I", "-S", "-c", QUESTION]);
  if (asked.code !== 0) throw missing("python", "the interpreter does not answer");
  const { version, stdlib, executable } = JSON.parse(asked.stdout) as Record<"version" | "stdlib" | "executable", string>;
  const library = `lib/python${version}`;
  const modules = await libraryFiles(await realpath(stdlib), library);
  const elves = [executable, ...modules.filter((file) => file.source.endsWith(".so")).map((file) => file.source)];
  return {
    runtime: "python",
    files: [
      { source: executable, target: "bin/python3", kind: "executable" },
      ...modules,
      ...(await sharedLibraries("python", elves)),
      ...(await zoneFiles()),
    ],
    library,
  };
}

async function planNode(interpreter: string): Promise<Closure> {
  const executable = await realpath(interpreter).catch(() => {
    throw missing("node", "the interpreter is not there");
  });
  return {
    runtime: "node",
    files: [
      { source: executable, target: "bin/node", kind: "secret" },
      ...(await sharedLibraries("node", [executable])),
      ...(await zoneFiles()),
    ],
    library: null,
  };
}

async function libraryFiles(folder: string, target: string, depth = 0): Promise<ClosureFile[]> {
  const found: ClosureFile[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const source = join(folder, entry.name);
    const place = `${target}/${entry.name}`;
    if (entry.isDirectory()) {
      if (LEFT_OUT_FOLDERS.has(entry.name) || (depth === 0 && LEFT_OUT_TOP.test(entry.name))) continue;
      found.push(...(await libraryFiles(source, place, depth + 1)));
    } else if (!LEFT_OUT_FILES.test(entry.name)) {
      const real = entry.isSymbolicLink() ? await realpath(source).catch(() => null) : source;
      if (real === null || !(await lstat(real)).isFile()) continue;
      found.push({ source: real, target: place, kind: entry.name.endsWith(".so") ? "executable" : "plain" });
    }
  }
  return found;
}

/** All libraries that the loader finds for these files, and the loader, in one folder: the loader looks there by default. */
async function sharedLibraries(runtime: Runtime, elves: readonly string[]): Promise<ClosureFile[]> {
  const asked = await runProgram("ldd", elves);
  if (asked.stdout === "") throw missing(runtime, "ldd does not answer");
  if (/=> not found/u.test(asked.stdout)) throw missing(runtime, "a shared library of the interpreter is not found");
  const byName = new Map<string, string>();
  for (const [, named, path] of asked.stdout.matchAll(/^\s+(?:(\S+) => )?(\/\S+) \(0x[0-9a-f]+\)$/gmu)) {
    const name = basename(named ?? path ?? "");
    const real = await realpath(path ?? "");
    const before = byName.get(name);
    if (before !== undefined && before !== real) throw missing(runtime, `two libraries are called ${name}`);
    byName.set(name, real);
  }
  const libc = byName.get("libc.so.6");
  for (const name of libc === undefined ? [] : OPENED_BY_LIBC) {
    if (byName.has(name)) continue;
    const path = await realpath(join(dirname(libc ?? ""), name)).catch(() => null);
    if (path !== null) byName.set(name, path);
  }
  return [...byName].map(([name, source]) => ({ source, target: `lib/${name}`, kind: "executable" as const }));
}

async function zoneFiles(folder = ZONES, target = "share/zoneinfo"): Promise<ClosureFile[]> {
  const found: ClosureFile[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (LEFT_OUT_ZONES.has(entry.name)) continue;
    const source = join(folder, entry.name);
    const real = await realpath(source).catch(() => null);
    if (real === null) continue;
    const facts = await stat(real);
    if (entry.isDirectory()) found.push(...(await zoneFiles(source, `${target}/${entry.name}`)));
    else if (facts.isFile() && real.startsWith(`${ZONES}/`)) found.push({ source: real, target: `${target}/${entry.name}`, kind: "plain" });
  }
  return found;
}

function missing(runtime: Runtime, message: string): SandboxError {
  return new SandboxError("sandbox.image_missing", `no root for ${runtime} can be made: ${message}`, {
    remedy:
      runtime === "python"
        ? "install Python 3 of your distribution (package python3)"
        : "run the daemon with a Node that is installed on this machine",
  });
}

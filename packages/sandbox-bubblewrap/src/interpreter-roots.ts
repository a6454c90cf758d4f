import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, rename, stat, writeFile } from "node:fs/promises";
import { constants } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "@rumi/core";
import { ensureFolder, hashTree, readJsonFile, removeTree, statTree, TREE_LIMITS, writeFileAtomic } from "@rumi/safe-files";
import type { TreeListing } from "@rumi/safe-files";
import type { Runtime } from "@rumi/sandbox";
import { SandboxError } from "@rumi/sandbox";
import { planClosure } from "./closure.ts";
import type { Closure } from "./closure.ts";
import { runProgram } from "./run-program.ts";

/** Shape of a root. Another number makes every older root be built anew. */
const FORMAT = 1;

/** A tree's fingerprint counts from this long after its last change. */
const SETTLED_MS = 150;

/** Files copied or looked at at once. */
const AT_ONCE = 16;

/** A root is larger than any pack. */
const LIMITS = { ...TREE_LIMITS, maxFiles: 20_000, maxFolders: 5_000, maxFileBytes: 512 * 1024 * 1024, maxTotalBytes: 1024 * 1024 * 1024 };

/** Largest record of a root: a line per file. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** The only account and network files inside: nothing of them is the host's. */
const SYNTHETIC: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/tmp:/nonexistent\n",
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
  "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
  "etc/resolv.conf": "nameserver 127.0.0.1\n",
};

/** A read-only folder with one interpreter and what it needs. */
export interface InterpreterRoot {
  readonly digest: string;
  readonly folder: string;
}

export interface InterpreterRootsDeps {
  /** Absolute folder of the roots; made when missing. */
  readonly folder: string;
  readonly interpreters: Readonly<Record<Runtime, string>>;
  readonly logger: Logger;
}

interface RootRecord {
  readonly format: number;
  readonly runtime: Runtime;
  readonly interpreter: string;
  readonly digest: string;
  /** Fingerprint of the unpacked tree. */
  readonly tree: string;
  /** Fingerprint of the host's files it was made from. */
  readonly made_from: string;
  readonly sources: readonly string[];
  readonly files: TreeListing["entries"];
}

/**
 * The unpacked roots: built once from the host's own interpreters, by digest, and looked at again each time the daemon
 * starts. A root whose bytes are not the recorded ones is thrown away and built anew; one whose sources changed is replaced.
 */
export class InterpreterRoots {
  readonly #deps: InterpreterRootsDeps;
  readonly #ready = new Map<Runtime, Promise<InterpreterRoot>>();

  constructor(deps: InterpreterRootsDeps) {
    this.#deps = deps;
  }

  /**
   * The verified root of a runtime; built when there is none.
   * @throws SandboxError `sandbox.image_missing`
   */
  use(runtime: Runtime): Promise<InterpreterRoot> {
    const known = this.#ready.get(runtime);
    if (known !== undefined) return known;
    const making = this.#verifyOrBuild(runtime);
    this.#ready.set(runtime, making);
    making.catch(() => this.#ready.delete(runtime));
    return making;
  }

  /** The digest of a runtime's root, where one was verified or is recorded; does no work. */
  async look(runtime: Runtime): Promise<string | null> {
    return (await this.#records(runtime)).at(0)?.digest ?? null;
  }

  async #verifyOrBuild(runtime: Runtime): Promise<InterpreterRoot> {
    await ensureFolder(this.#deps.folder);
    let chosen: InterpreterRoot | null = null;
    for (const record of await this.#records(runtime)) {
      if (chosen === null && (await this.#isWhole(record))) chosen = { digest: record.digest, folder: this.#folderOf(record.digest) };
      else await this.#remove(record.digest);
    }
    return chosen ?? (await this.#build(runtime));
  }

  async #isWhole(record: RootRecord): Promise<boolean> {
    if ((await fingerprint(record.sources)) !== record.made_from) return false;
    const folder = this.#folderOf(record.digest);
    try {
      if ((await statTree(folder)) === record.tree) return true;
      await chmod(join(folder, "bin/node"), 0o511).catch(() => {});
      const { digest } = await hashTree(folder, { limits: LIMITS });
      await hideBinary(folder);
      if (digest !== record.digest) {
        this.#deps.logger.log("warn", "an unpacked root is not what was recorded; it is built anew", { runtime: record.runtime });
        return false;
      }
      await settled();
      await this.#write({ ...record, tree: await statTree(folder) });
      return true;
    } catch {
      return false;
    }
  }

  async #build(runtime: Runtime): Promise<InterpreterRoot> {
    const interpreter = this.#deps.interpreters[runtime];
    const closure = await planClosure(runtime, interpreter);
    const draft = join(this.#deps.folder, `.draft-${runtime}-${String(process.pid)}`);
    await removeTree(draft).catch(() => {});
    try {
      await mkdir(draft, { mode: 0o755 });
      await unpack(closure, draft);
      await compile(closure, interpreter, draft);
      await sealFolders(draft);
      const { digest, entries } = await hashTree(draft, { limits: LIMITS });
      await hideBinary(draft);
      const folder = this.#folderOf(digest);
      await removeTree(folder).catch(() => {});
      await rename(draft, folder);
      await settled();
      const sources = [...new Set(closure.files.map((file) => file.source))];
      const made_from = await fingerprint(sources);
      await this.#write({ format: FORMAT, runtime, interpreter, digest, tree: await statTree(folder), made_from, sources, files: entries });
      this.#deps.logger.log("debug", "unpacked a root", { runtime, digest, files: entries.length });
      return { digest, folder };
    } catch (cause) {
      await removeTree(draft).catch(() => {});
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.image_missing", `the root for ${runtime} could not be unpacked`, { cause });
    }
  }

  /** Records of a runtime's present interpreter. */
  async #records(runtime: Runtime): Promise<RootRecord[]> {
    const names = await readdir(this.#deps.folder).catch(() => []);
    const found: RootRecord[] = [];
    for (const name of names.filter((each) => /^[0-9a-f]{64}\.json$/u.test(each))) {
      const path = join(this.#deps.folder, name);
      const record = (await readJsonFile(path, { maxBytes: MAX_RECORD_BYTES }).catch(() => null)) as RootRecord | null;
      const { format, interpreter, digest } = record ?? {};
      if (record === null || digest === undefined || record.runtime !== runtime || `${hexOf(digest)}.json` !== name) continue;
      if (format === FORMAT && interpreter === this.#deps.interpreters[runtime] && Array.isArray(record.sources)) found.push(record);
    }
    return found;
  }

  async #write(record: RootRecord): Promise<void> {
    await writeFileAtomic(`${this.#folderOf(record.digest)}.json`, JSON.stringify(record));
  }

  async #remove(digest: string): Promise<void> {
    const folder = this.#folderOf(digest);
    await removeTree(`${folder}.json`).catch(() => {});
    await removeTree(folder).catch(() => {});
  }

  #folderOf(digest: string): string {
    return join(this.#deps.folder, hexOf(digest));
  }
}

function hexOf(digest: string): string {
  return digest.replace(/^sha256:/u, "");
}

async function unpack(closure: Closure, root: string): Promise<void> {
  const folders = new Set(["bin", "lib", "share", "etc", ...closure.files.map((file) => dirname(file.target))]);
  for (const folder of [...folders].sort()) await mkdir(join(root, folder), { recursive: true, mode: 0o755 });
  await inParts(closure.files, async ({ source, target, kind }) => {
    const path = join(root, target);
    await copyFile(source, path, constants.COPYFILE_FICLONE);
    await chmod(path, kind === "plain" ? 0o444 : 0o555);
  });
  for (const [target, text] of Object.entries(SYNTHETIC)) {
    await writeFile(join(root, target), text);
    await chmod(join(root, target), 0o444);
  }
}

/** Bytecode beside the sources, trusted by hash: a read-only root could never keep what it compiles. */
async function compile(closure: Closure, interpreter: string, root: string): Promise<void> {
  if (closure.library === null) return;
  const folder = join(root, closure.library);
  const strip = ["-s", root, "-p", "/usr"];
  await runProgram(interpreter, [
    "-I",
    "-S",
    "-m",
    "compileall",
    "-q",
    "-j",
    "0",
    ...strip,
    "--invalidation-mode",
    "unchecked-hash",
    folder,
  ]);
}

/** Folders and compiled files become as read-only as the rest, and readable for the user inside whatever the umask. */
async function sealFolders(root: string): Promise<void> {
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (entry.isDirectory()) await sealFolders(path);
    else if (entry.name.endsWith(".pyc")) await chmod(path, 0o444);
  }
  await chmod(root, 0o755);
}

/** Readable for nobody, executable for everybody. The daemon's own user inside is no exception: it is the owner there. */
async function hideBinary(root: string): Promise<void> {
  await chmod(join(root, "bin/node"), 0o111).catch(() => {});
}

/** Sizes and times of files; equal means unchanged. A file that is gone counts as changed. */
async function fingerprint(sources: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  const lines: string[] = [];
  await inParts(sources, async (source) => {
    const facts = await stat(source, { bigint: true }).catch(() => null);
    lines.push(`${source}\0${facts === null ? "gone" : [facts.size, facts.mtimeNs, facts.ino, facts.dev].join(" ")}`);
  });
  return hash.update(lines.sort().join("\n")).digest("hex");
}

async function inParts<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
}

import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MIB } from "@rumi/core";
import type { Digest, JsonValue, PackId } from "@rumi/core";
import { expect } from "vitest";
import type { Instance, InstanceLimits, InstanceSpec, LogLine, Mount, RunResult, RunSpec, Runtime, Sandbox } from "../ports.ts";
import { contractFiles } from "./contract-pack.ts";
import type { Difference } from "./differences.ts";

/** A sandbox under test and what its adapter's tests know about its surroundings. */
export interface SandboxHarness extends AsyncDisposable {
  readonly sandbox: Sandbox;
  /** An empty folder for packs, not among the daemon's records. */
  readonly folder: string;
  /** Names of what is left of this harness's instances: containers, socket folders, processes. */
  leftovers(): Promise<readonly string[]>;
}

/** Makes a harness of its own for one test. */
export type MakeHarness = () => Promise<SandboxHarness>;

/** How a suite runs. */
export interface SuiteOptions {
  /**
   * Instances with `reuse`: one process that serves one call at a time and keeps its state. What is promised of single-use
   * calls only is replaced by what is promised then. Absent: a process of its own for each call.
   */
  readonly reuse?: boolean;
  /** What the runtime under test is known to keep less of. Absent: nothing, and no test is replaced. */
  readonly differences?: readonly Difference[];
  /** Limits of instances that are not the contract's, for a runtime whose own threads count to them. */
  readonly limits?: Partial<InstanceLimits>;
}

let made = 0;

/** Random enough for tests, and 32 hex digits long. */
export function testId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One test's use of a sandbox: packs, instances and calls with the contract's defaults. */
export class SandboxScene {
  readonly harness: SandboxHarness;
  readonly #reuse: boolean;
  readonly #limits: Partial<InstanceLimits>;

  constructor(harness: SandboxHarness, options: SuiteOptions = {}) {
    this.harness = harness;
    this.#reuse = options.reuse ?? false;
    this.#limits = options.limits ?? {};
  }

  get sandbox(): Sandbox {
    return this.harness.sandbox;
  }

  /** Mounts of a pack made of these files (default: the contract's). */
  async pack(files: Readonly<Record<string, string>> = contractFiles()): Promise<Mount[]> {
    const root = join(this.harness.folder, `pack-${String((made += 1))}`);
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
    return [{ source: root, target: "/pack", read_only: true }];
  }

  /** Mounts of a copy of an existing pack. */
  async packFrom(folder: string): Promise<Mount[]> {
    const root = join(this.harness.folder, `pack-${String((made += 1))}`);
    await cp(folder, root, { recursive: true });
    return [{ source: root, target: "/pack", read_only: true }];
  }

  spec(runtime: Runtime, mounts: readonly Mount[], over: Partial<InstanceSpec> = {}): InstanceSpec {
    return {
      instance_id: testId(),
      purpose: "block",
      pack_id: "contract_pack" as PackId,
      digest: `sha256:${"0".repeat(64)}` as Digest,
      runtime,
      authority: "contract_pack",
      mounts,
      sockets: {},
      limits: { memory_bytes: 256 * MIB, cpus: 1, pids: 128, tmp_bytes: 64 * MIB, ...this.#limits },
      env: {},
      reuse: this.#reuse,
      slots: this.#reuse ? 1 : 4,
      ...over,
    };
  }

  async start(runtime: Runtime, over: Partial<InstanceSpec> = {}): Promise<Instance> {
    return await this.sandbox.start(this.spec(runtime, over.mounts ?? (await this.pack()), over));
  }

  async run(
    instance: Instance,
    file: string,
    input: JsonValue = {},
    over: Partial<RunSpec> = {},
    signal?: AbortSignal,
  ): Promise<RunResult> {
    return await this.sandbox.run(
      instance,
      {
        call_id: testId(),
        convention: "block",
        file,
        function: null,
        input,
        context: {},
        timeout_ms: 20_000,
        max_result_bytes: 4 * MIB,
        max_log_bytes: 256 * 1024,
        ...over,
      },
      signal,
    );
  }

  /** A call's value. Fails the test when it did not end well. */
  async value(instance: Instance, file: string, input: JsonValue = {}, over: Partial<RunSpec> = {}): Promise<JsonValue> {
    const result = await this.run(instance, file, input, over);
    expect(result, JSON.stringify(result).slice(0, 500)).toMatchObject({ kind: "ok" });
    return result.kind === "ok" ? result.value : null;
  }
}

/** Collects a call's log. */
export function collectLog(): { readonly lines: LogLine[]; readonly on_log: (line: LogLine) => void } {
  const lines: LogLine[] = [];
  return { lines, on_log: (line) => void lines.push(line) };
}

/** Runs one test in a scene of its own and checks that nothing is left of it, whether it passed or not. */
export async function inScene(
  makeHarness: MakeHarness,
  test: (scene: SandboxScene) => Promise<void>,
  options: SuiteOptions = {},
): Promise<void> {
  await using harness = await makeHarness();
  try {
    await test(new SandboxScene(harness, options));
  } finally {
    await harness.sandbox[Symbol.asyncDispose]();
  }
  expect(await harness.leftovers()).toEqual([]);
}

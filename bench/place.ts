import { randomBytes } from "node:crypto";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MIB, systemClock } from "@rumi/core";
import type { Digest, JsonValue, Logger, PackId } from "@rumi/core";
import { runnerRoot } from "@rumi/runner";
import type { Instance, InstanceSpec, Runtime, Sandbox } from "@rumi/sandbox";
import { BubblewrapSandbox } from "@rumi/sandbox-bubblewrap";
import { DockerSandbox } from "@rumi/sandbox-docker";
import { temporaryFolder } from "@rumi/testkit";
import type { TemporaryFolder } from "@rumi/testkit";
import { ENGINE_SOCKET, IMAGES } from "./engine.ts";

/** The files that a measured pack holds, for both languages. */
export const PROGRAMS = join(import.meta.dirname, "programs");

/** A call's input of about 200 bytes. */
export const SMALL_INPUT = { name: "World", text: "x".repeat(160) };

const quiet: Logger = { log: () => undefined };

/** A sandbox of its own over a temporary folder, with one pack in it. */
export class Place implements AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly folder: string;
  readonly installation: string;
  readonly #temporary: TemporaryFolder;

  private constructor(temporary: TemporaryFolder, adapter: "docker" | "bubblewrap") {
    this.#temporary = temporary;
    this.folder = temporary.path;
    this.installation = randomBytes(16).toString("hex");
    const deps = {
      installation: this.installation,
      socketBase: join(this.folder, "s"),
      runnerRoot: runnerRoot(),
      userData: join(this.folder, "user_data"),
      clock: systemClock,
      logger: quiet,
    };
    this.sandbox =
      adapter === "docker" ? new DockerSandbox(deps, { engineSocket: ENGINE_SOCKET, images: IMAGES }) : new BubblewrapSandbox(deps);
  }

  static async open(adapter: "docker" | "bubblewrap" = "docker"): Promise<Place> {
    const place = new Place(await temporaryFolder("rumi-bench-"), adapter);
    await mkdir(join(place.folder, "s"), { mode: 0o700 });
    await mkdir(join(place.folder, "pack"));
    for (const file of ["hello.py", "hello.mjs", "back.py", "rights.py", "rights.mjs"])
      await copyFile(join(PROGRAMS, file), join(place.folder, "pack", file));
    return place;
  }

  spec(runtime: Runtime, over: Partial<InstanceSpec> = {}): InstanceSpec {
    return {
      instance_id: randomBytes(16).toString("hex"),
      purpose: "block",
      pack_id: "bench" as PackId,
      digest: `sha256:${"0".repeat(64)}` as Digest,
      runtime,
      authority: "bench",
      mounts: [{ source: join(this.folder, "pack"), target: "/pack", read_only: true }],
      sockets: {},
      limits: { memory_bytes: 256 * MIB, cpus: 1, pids: 128, tmp_bytes: 64 * MIB },
      env: {},
      reuse: false,
      slots: 4,
      ...over,
    };
  }

  /** One call of one file; anything but a result is an error of the measurement. */
  async call(instance: Instance, file: string, input: JsonValue = SMALL_INPUT): Promise<JsonValue> {
    const result = await this.sandbox.run(instance, {
      call_id: randomBytes(16).toString("hex"),
      convention: "block",
      file,
      function: null,
      input,
      context: { flow_id: "bench", step_id: "call" },
      timeout_ms: 20_000,
      max_result_bytes: 4 * MIB,
      max_log_bytes: 256 * 1024,
    });
    if (result.kind !== "ok") throw new Error(`${file}: ${JSON.stringify(result)}`);
    return result.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
    await this.#temporary[Symbol.asyncDispose]();
  }
}

import { lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock, systemRandom } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { runnerRoot } from "@rumi/runner";
import type { Sandbox } from "@rumi/sandbox";
import { BubblewrapSandbox } from "@rumi/sandbox-bubblewrap";
import { DockerSandbox } from "@rumi/sandbox-docker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LibOutcome } from "../src/lib-runs.ts";
import { openLibPlace } from "../src/testing/lib-place.ts";
import type { LibPlace } from "../src/testing/lib-place.ts";

/** A lib that says what came of each of its attempts. */
const ATTEMPTS = `
import json, os, socket, sys

def attempt(what):
    try:
        return [True, what()]
    except BaseException as error:
        return [False, type(error).__name__]

def write(path):
    with open(path, "w") as file:
        file.write("x")
    return path

def dial(host, port):
    socket.create_connection((host, port), timeout=2).close()

def names(path):
    return sorted(os.listdir(path))

def everything(path):
    return sorted(name for _, folders, files in os.walk(path) for name in folders + files)

def run(context):
    data, lib = context["data_dir"], context["lib_dir"]
    os.makedirs(data + "/deep/er", exist_ok=True)
    os.symlink("/pack", data + "/link")
    os.symlink("../snapshots", data + "/snapshots")
    return {
        "context": {key: context[key] for key in ("pack_id", "lib_type", "lib_dir", "data_dir")},
        "data": attempt(lambda: write(data + "/config.json")),
        "pack": attempt(lambda: write("/pack/x")),
        "lib": attempt(lambda: write(lib + "/x")),
        "own_file": attempt(lambda: write(lib + "/install.py")),
        "read_table": attempt(lambda: open(lib + "/table.sql").read()),
        "root": attempt(lambda: write("/x")),
        "above": attempt(lambda: names(data + "/..")),
        "snapshots": attempt(lambda: names(data + "/snapshots")),
        "write_snapshots": attempt(lambda: write(data + "/../snapshots/x")),
        "seen": attempt(lambda: everything(data)),
        "sockets": attempt(lambda: everything("/run/rumi")),
        "dial": attempt(lambda: dial("1.1.1.1", 53)),
        "dial_host": attempt(lambda: dial("172.17.0.1", 22)),
        "interfaces": attempt(lambda: sorted(name for _, name in socket.if_nameindex() if name == "eth0")),
    }
`;

const FILL = `
def run(context):
    block = b"x" * (1024 * 1024)
    with open(context["data_dir"] + "/big", "wb") as file:
        for _ in range(257):
            file.write(block)
`;

/** Libs in real instances of one sandbox. */
export function libSuite(adapter: "docker" | "bubblewrap"): void {
  describe(`libs in ${adapter}`, () => {
    let place: LibPlace;
    let sandbox: Sandbox;

    beforeAll(async () => {
      place = await openLibPlace({
        sandbox: async (folder, userData) => {
          const socketBase = join(folder, "s");
          await mkdir(socketBase, { mode: 0o700 });
          const deps = {
            installation: systemRandom.hex(16),
            socketBase,
            runnerRoot: runnerRoot(),
            userData,
            clock: systemClock,
            logger: silentLogger,
          };
          sandbox =
            adapter === "docker"
              ? new DockerSandbox(deps, {
                  engineSocket: process.env["RUMI_TEST_ENGINE_SOCKET"] ?? "/var/run/docker.sock",
                  images: { python: "rumi-base-python:dev", node: "rumi-base-node:dev" },
                })
              : new BubblewrapSandbox(deps, {});
          return sandbox;
        },
      });
    });
    afterAll(() => place[Symbol.asyncDispose]());

    const run = async (pack: string, files: Readonly<Record<string, string>>): Promise<LibOutcome> => {
      await place.approve(pack, files);
      return await place.libs.process(pack as PackId);
    };

    test("F85 X77 a lib writes /data and nothing else; snapshots, sockets and the network are not there", async () => {
      const outcome = await run("alpha", { "backend/lib/install.py": ATTEMPTS, "backend/lib/table.sql": "select 1" });
      expect(outcome).toMatchObject({ result: "done", error: null });
      const said = JSON.parse(outcome.output ?? "null") as Record<string, [boolean, unknown]>;
      expect(said).toMatchObject({
        context: { pack_id: "alpha", lib_type: "install", lib_dir: "/pack/backend/lib", data_dir: "/data" },
        data: [true, "/data/config.json"],
        pack: [false, expect.any(String)],
        lib: [false, expect.any(String)],
        own_file: [false, expect.any(String)],
        read_table: [true, "select 1"],
        root: [false, expect.any(String)],
        snapshots: [false, "FileNotFoundError"],
        write_snapshots: [false, expect.any(String)],
        seen: [true, ["config.json", "deep", "er", "link", "snapshots"]],
        dial: [false, expect.any(String)],
        dial_host: [false, expect.any(String)],
        interfaces: [true, []],
      });
      // What lies above /data is the root of the instance: no snapshots, inbox or builds of the pack.
      expect(said["above"]?.[1]).toContain("pack");
      expect(said["above"]?.[1]).not.toContain("snapshots");
      // The runner's own socket is all that is below /run/rumi: none for capabilities or for going out.
      expect(said["sockets"]?.[1]).not.toContain("capability");
      expect(said["sockets"]?.[1]).not.toContain("egress");
      expect(await readFile(join(place.data("alpha"), "config.json"), "utf8")).toBe("x");
      expect((await lstat(join(place.data("alpha"), "link"))).isSymbolicLink()).toBe(true);
      const gate = place.home.approvals.gate("alpha" as PackId);
      expect(gate.allowed && (await place.home.approvals.verifySnapshot("alpha" as PackId, gate.digest)).allowed).toBe(true);
      expect(await place.libs.process("alpha" as PackId)).toMatchObject({ result: "skipped" });
    });

    test("F84 an update finds what the install left, in either language", async () => {
      const install =
        'import { writeFileSync } from "node:fs";\nexport const run = ({ data_dir }) => writeFileSync(`${data_dir}/v`, "1");\n';
      expect(await run("beta", { "lib/install.mjs": install })).toMatchObject({ lib_type: "install", result: "done", error: null });
      const update = [
        'import { readFileSync, writeFileSync } from "node:fs";',
        "export function run(context: { data_dir: string; lib_type: string }): string {",
        '  const was = readFileSync(`${context.data_dir}/v`, "utf8");',
        '  writeFileSync(`${context.data_dir}/v`, "2");',
        "  return `${context.lib_type} from ${was}`;",
        "}",
      ].join("\n");
      expect(await run("beta", { "lib/update.ts": update })).toMatchObject({
        lib_type: "update",
        result: "done",
        output: '"update from 1"',
      });
      expect(await readFile(join(place.data("beta"), "v"), "utf8")).toBe("2");
    });

    test("X77 257 MiB in /data: failed, and the other packs' libs run on", async () => {
      expect(await run("gamma", { "lib/install.py": FILL })).toMatchObject({
        result: "failed",
        code: "lib.failed",
        error: expect.stringContaining("it holds more than 268435456 bytes"),
      });
      expect(await place.libs.listRecords()).toContainEqual(expect.objectContaining({ pack_id: "gamma", success: false, failures: 1 }));
      expect(await run("delta", { "lib/install.py": "def run():\n    return 1\n" })).toMatchObject({ result: "done", output: "1" });
    });

    test("nothing but a lib gets /data to write", async () => {
      const gate = place.home.approvals.gate("alpha" as PackId);
      if (!gate.allowed) throw new Error(gate.reason);
      const spec = {
        instance_id: systemRandom.hex(16),
        purpose: "block",
        pack_id: gate.pack_id,
        digest: gate.digest,
        runtime: "python",
        authority: gate.pack_id,
        mounts: [{ source: place.data("alpha"), target: "/data", read_only: false }],
        sockets: {},
        limits: { memory_bytes: 268_435_456, cpus: 1, pids: 128, tmp_bytes: 67_108_864 },
        env: {},
        reuse: false,
        slots: 1,
      } as const;
      await expect(sandbox.start(spec)).rejects.toMatchObject({ code: "sandbox.invalid_mount" });
    });

    test("what a lib raises is told, and no instance is left", async () => {
      expect(await run("zeta", { "lib/install.py": "def run(context):\n    raise ValueError('no')\n" })).toMatchObject({
        result: "failed",
        error: expect.stringMatching(/^block_error: .*no/u),
      });
      expect(await run("eta", { "lib/install.py": "def other():\n    pass\n" })).toMatchObject({
        result: "failed",
        error: expect.stringMatching(/^no_run_function/u),
      });
      await writeFile(join(place.data("eta"), "mine"), "");
      expect(await readdir(place.data("eta"))).toEqual(["mine"]);
      expect(await sandbox.list()).toEqual([]);
    });
  });
}

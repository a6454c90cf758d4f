import { createHash } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { contractFile, contractFiles, inScene } from "@rumi/sandbox/testing";
import type { SandboxScene } from "@rumi/sandbox/testing";
import { expect, test } from "vitest";
import { bubblewrapHarness } from "./bubblewrap-harness.ts";
import type { BubblewrapHarness } from "./bubblewrap-harness.ts";

const SPIES: Readonly<Record<string, string>> = {
  "blocks/every_file.py": `
import hashlib, os

LEFT = ("/proc", "/pack", "/runner", "/tmp", "/dev")

def run(input, context):
    files, links, folders = {}, {}, []
    for folder, names, leaves in os.walk("/"):
        names[:] = [name for name in names if os.path.join(folder, name) not in LEFT]
        for name in list(names) + leaves:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                links[path] = os.readlink(path)
            elif os.path.isfile(path):
                try:
                    with open(path, "rb") as file:
                        files[path] = hashlib.sha256(file.read()).hexdigest()
                except OSError:
                    files[path] = None
    return {"files": files, "links": links, "devices": sorted(os.listdir("/dev"))}
`,
  "blocks/beyond.py": `
import ctypes, errno, fcntl, os, platform

libc = ctypes.CDLL(None, use_errno=True)
IOCTL = {"x86_64": 16, "aarch64": 29}[platform.machine()]

def called(number, *args):
    ctypes.set_errno(0)
    return errno.errorcode[ctypes.get_errno()] if libc.syscall(number, *args) < 0 else "passed"

def opened(path):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        return "passed"
    except OSError as error:
        return errno.errorcode[error.errno]

def run(input, context):
    typed = ctypes.c_char_p(b"x")
    return {
        "TIOCSTI": called(IOCTL, 0, ctypes.c_ulong(0x5412), typed),
        "TIOCSTI with high bits": called(IOCTL, 0, ctypes.c_ulong(0x100005412), typed),
        "TIOCLINUX": called(IOCTL, 0, ctypes.c_ulong(0x541C), typed),
        "/proc/1/root": opened("/proc/1/root"),
        "/proc/1/cwd": opened("/proc/1/cwd"),
        "/proc/1/environ": opened("/proc/1/environ"),
        "/proc/1/fd": opened("/proc/1/fd"),
        "/dev/tty": opened("/dev/tty"),
        "/dev/pts": opened("/dev/pts"),
    }
`,
  "blocks/writable.py": `
import os

LEFT = ("/tmp", "/dev/shm", "/proc/self", "/proc/thread-self")

def run(input, context):
    found = []
    for folder, names, leaves in os.walk("/"):
        names[:] = [name for name in names if os.path.join(folder, name) not in LEFT and not (folder == "/proc" and name.isdigit())]
        for name in names + leaves:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.access(path, os.W_OK):
                found.append([path, os.stat(path).st_rdev])
    return {"found": found, "null": os.stat("/dev/null").st_rdev}
`,
  "blocks/fill.py": `
def run(input, context):
    written = 0
    try:
        with open(input["folder"] + "/all", "wb", buffering=0) as file:
            while written < input["most"]:
                written += file.write(b"x" * 65536)
    except OSError as error:
        return {"written": written, "error": error.errno}
    return {"written": written, "error": None}
`,
  "blocks/x32.py": `
import ctypes

def run(input, context):
    return ctypes.CDLL(None).syscall(0x40000000 + 39)
`,
};

/** A scene that also hands out its harness. */
function inBubblewrap(work: (scene: SandboxScene, harness: BubblewrapHarness) => Promise<void>): () => Promise<void> {
  return async () => {
    let harness: BubblewrapHarness | undefined;
    await inScene(
      async () => (harness = await bubblewrapHarness()),
      async (scene) => {
        if (harness !== undefined) await work(scene, harness);
      },
    );
  };
}

const NAMESPACES = ["user", "net", "pid", "ipc", "uts", "cgroup", "mnt"];

/** The host's name for process 1 inside. */
async function firstProcess(pids: readonly number[]): Promise<number> {
  for (const pid of pids) {
    if (/^NSpid:\t.*\t1$/mu.test(await readFile(`/proc/${String(pid)}/status`, "latin1"))) return pid;
  }
  throw new Error("there is no first process");
}

async function statusOf(pid: number): Promise<Record<string, string>> {
  const lines = (await readFile(`/proc/${String(pid)}/status`, "latin1")).split("\n");
  return Object.fromEntries(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
}

test(
  "X34 seen from the host: every namespace is its own, nobody, no capability, no new privileges, filtered, few files, in its group",
  inBubblewrap(async (s, harness) => {
    const instance = await s.start("python");
    await s.value(instance, contractFile("echo", "python"));
    const pids = await harness.pids(instance.spec.instance_id);
    const first = String(await firstProcess(pids));
    for (const name of NAMESPACES) {
      expect(await readlink(`/proc/${first}/ns/${name}`), name).not.toBe(await readlink(`/proc/self/ns/${name}`));
    }
    const user = process.getuid?.() === 0 ? 65_534 : process.getuid?.();
    const nothing = "0".repeat(16);
    for (const pid of pids) {
      const status = await statusOf(pid);
      const inside = (status["NSpid"] ?? "").includes("\t");
      expect(status["Uid"]).toBe(Array.from({ length: 4 }, () => String(user)).join("\t"));
      expect(status["NoNewPrivs"]).toBe("1");
      expect(status["CapEff"]).toBe(nothing);
      if (inside) expect(status).toMatchObject({ CapPrm: nothing, CapInh: nothing, CapBnd: nothing, CapAmb: nothing, Seccomp: "2" });
    }
    expect((await readFile(`/proc/${first}/uid_map`, "latin1")).trim().split(/\s+/u)).toEqual(["65534", expect.any(String), "1"]);
    const limits = await readFile(`/proc/${first}/limits`, "latin1");
    expect(limits).toMatch(/^Max open files +256 +256 /mu);
    expect(limits).toMatch(/^Max core file size +0 +0 /mu);
    expect(await readFile(`/proc/${first}/cgroup`, "latin1")).toContain(instance.spec.instance_id);
  }),
);

test(
  "X32 X33 seen from the host: what is mounted inside is exactly what the spec says, all but two small folders read-only",
  inBubblewrap(async (s, harness) => {
    const instance = await s.start("python");
    const first = await firstProcess(await harness.pids(instance.spec.instance_id));
    const mounts = (await readFile(`/proc/${String(first)}/mountinfo`, "latin1"))
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .map(([, , , , target = "", options = ""]) => ({ target, options: options.split(",") }));
    const targets = mounts.map(({ target }) => target).filter((target) => !target.startsWith("/proc/") && !target.startsWith("/sys/"));
    expect(targets.toSorted()).toEqual(
      [
        ...["/", "/usr/bin", "/usr/lib", "/usr/share", "/etc", "/proc", "/dev", "/dev/shm", "/tmp", "/pack", "/runner", "/run/rumi/runner"],
        ...["null", "zero", "full", "random", "urandom"].map((name) => `/dev/${name}`),
      ].toSorted(),
    );
    for (const { target, options } of mounts) {
      expect(options, target).toContain("nosuid");
      const device = /^\/dev\/(?!shm)./u.test(target);
      if (["/tmp", "/dev/shm"].includes(target)) expect(options).toEqual(expect.arrayContaining(["rw", "nodev", "noexec"]));
      else if (!device && target !== "/proc") expect(options, target).toContain("ro");
    }
  }),
);

test(
  "X86 no file inside is the host's but those of the interpreter's closure, byte for byte as recorded",
  inBubblewrap(async (s, harness) => {
    const mounts = await s.pack({ ...contractFiles(), ...SPIES });
    const found = (await s.value(await s.start("python", { mounts }), "blocks/every_file.py")) as {
      files: Record<string, string>;
      links: Record<string, string>;
      devices: string[];
    };
    const { runtimes } = await harness.sandbox.probe({ fresh: true });
    const record = JSON.parse(
      await readFile(join(harness.userData, "runtime/roots", `${(runtimes.python.image_id ?? "").replace("sha256:", "")}.json`), "utf8"),
    ) as { files: { type: string; path: string; sha256: string }[] };
    const recorded = Object.fromEntries(
      record.files
        .filter(({ type }) => type === "f")
        .map(({ path, sha256 }) => [path.startsWith("etc/") ? `/${path}` : `/usr/${path}`, sha256]),
    );
    const counter = Object.keys(found.files).filter((path) => path.startsWith("/sys/"));
    expect(counter.length).toBeLessThanOrEqual(1);
    for (const path of counter) delete found.files[path];
    expect(found.files).toEqual(recorded);
    expect(Object.keys(found.files).filter((path) => path.startsWith("/usr/bin/"))).toEqual(["/usr/bin/python3"]);
    expect(found.links).toEqual({ "/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib", "/usr/lib64": "lib" });
    expect(found.devices).toEqual(["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]);
    for (const path of ["/etc/passwd", "/etc/hosts"]) {
      expect(found.files[path]).not.toBe(
        createHash("sha256")
          .update(await readFile(path))
          .digest("hex"),
      );
    }
  }),
);

test(
  "X31 X35 forged terminal input, process 1's root, files and environment, and terminals are out of reach",
  inBubblewrap(async (s) => {
    const mounts = await s.pack({ ...contractFiles(), ...SPIES });
    const found = await s.value(await s.start("python", { mounts }), "blocks/beyond.py");
    expect(found).toEqual({
      TIOCSTI: "EPERM",
      "TIOCSTI with high bits": "EPERM",
      TIOCLINUX: "EPERM",
      "/proc/1/root": "EACCES",
      "/proc/1/cwd": "EACCES",
      "/proc/1/environ": "EACCES",
      "/proc/1/fd": "EACCES",
      "/dev/tty": "ENOENT",
      "/dev/pts": "ENOENT",
    });
  }),
);

test(
  "X32 nothing but /tmp, /dev/shm and the five devices can be written; what of /proc can be is an empty device",
  inBubblewrap(async (s) => {
    const instance = await s.start("python", { mounts: await s.pack({ ...contractFiles(), ...SPIES }) });
    const { found, null: nothing } = (await s.value(instance, "blocks/writable.py")) as { found: [string, number][]; null: number };
    const others = found.filter(([, device]) => device !== nothing).map(([path]) => path);
    expect(others.toSorted()).toEqual(["/dev/full", "/dev/random", "/dev/urandom", "/dev/zero"]);
  }),
);

test(
  "X31 a call through the second entry of the kernel ends its process alone",
  inBubblewrap(async (s) => {
    const instance = await s.start("python", { mounts: await s.pack({ ...contractFiles(), ...SPIES }) });
    const ending = process.arch === "x64" ? { kind: "crashed", signal: "SIGSYS" } : { kind: "ok", value: -1 };
    expect(await s.run(instance, "blocks/x32.py")).toMatchObject(ending);
    expect(await s.value(instance, contractFile("echo", "python"), 1)).toEqual({ input: 1, run_id: null });
  }),
);

test.each([
  ["/dev/shm", 16 * 1024 * 1024],
  ["/tmp", 64 * 1024 * 1024],
])("X41 filling %s ends at its size, and the next call finds it empty", async (folder, size) => {
  await inBubblewrap(async (s) => {
    const instance = await s.start("python", { mounts: await s.pack({ ...contractFiles(), ...SPIES }) });
    const input = { folder, most: 128 * 1024 * 1024 };
    expect(await s.value(instance, "blocks/fill.py", input)).toEqual({ written: size, error: 28 });
    expect(await s.value(instance, "blocks/fill.py", { folder, most: 1024 * 1024 })).toEqual({ written: 1024 * 1024, error: null });
  })();
});

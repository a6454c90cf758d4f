/** Blocks that look around, for questions the hostile packs do not ask. */
export const SPIES: Readonly<Record<string, string>> = {
  "blocks/census.py": `
import os

def run(input, context):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    def name(pid):
        try:
            with open(f"/proc/{pid}/status") as file:
                return int([line for line in file if line.startswith("PPid:")][0].split()[1])
        except OSError:
            return None
    parents = {pid: name(pid) for pid in pids if pid not in (1, os.getpid())}
    return {
        "others": len(parents),
        "orphans": list(parents.values()).count(1),
        "not_of_the_runner": [pid for pid, parent in parents.items() if parent not in (1, None)],
    }
`,
  "blocks/others.py": `
import os

def run(input, context):
    reached = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        for part in ("mem", "environ", "maps"):
            try:
                with open(f"/proc/{name}/{part}", "rb") as file:
                    file.seek(0)
                    if part != "mem":
                        file.read(1)
                reached.append(f"{name}/{part}")
            except OSError:
                pass
        try:
            os.listdir(f"/proc/{name}/fd")
            reached.append(f"{name}/fd")
        except OSError:
            pass
    return {"seen": len([name for name in os.listdir("/proc") if name.isdigit()]) - 1, "reached": reached}
`,
  "blocks/others.mjs": `
import { openSync, readdirSync, readFileSync } from "node:fs";

export function run() {
  const reached = [];
  const attempt = (name, work) => {
    try {
      work();
      reached.push(name);
    } catch {
      // denied
    }
  };
  const pids = readdirSync("/proc").filter((name) => /^\\d+$/.test(name) && Number(name) !== process.pid);
  for (const pid of pids) {
    attempt(pid + "/mem", () => openSync("/proc/" + pid + "/mem"));
    attempt(pid + "/environ", () => readFileSync("/proc/" + pid + "/environ"));
    attempt(pid + "/fd", () => readdirSync("/proc/" + pid + "/fd"));
  }
  return { seen: pids.length, reached };
}
`,
  "blocks/leave_traces.py": `
import builtins, os

def run(input, context):
    builtins.trace = 1
    os.environ["TRACE"] = "1"
    for folder in ("/tmp", "/dev/shm"):
        os.makedirs(folder + "/deep/er", exist_ok=True)
        open(folder + "/deep/er/trace", "w").close()
    os.open("/dev/null", os.O_RDONLY)
    return True
`,
  "blocks/find_traces.py": `
import builtins, os

def run(input, context):
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.append([int(name), os.readlink("/proc/self/fd/" + name).split(":")[0]])
        except OSError:
            pass
    temporary = os.environ["TMPDIR"]
    return {
        "builtins": hasattr(builtins, "trace"),
        "environment": sorted(os.environ),
        "tmp": [name for name in os.listdir("/tmp") if not temporary.startswith("/tmp/" + name)],
        "own": os.listdir(temporary) if temporary != "/tmp" else [],
        "shm": os.listdir("/dev/shm"),
        "descriptors": sorted(descriptors),
    }
`,
  "blocks/resolver.py": `
def run(input, context):
    with open("/etc/resolv.conf") as file:
        return [line.split()[1] for line in file if line.startswith(("nameserver", "search"))]
`,
  "blocks/bytecode.py": `
import base64, importlib._bootstrap_external as external, sys

def run(input, context):
    code = compile("WHO = 'forged'", "helper.py", "exec")
    return {"tag": sys.implementation.cache_tag, "pyc": base64.b64encode(external._code_to_hash_pyc(code, bytes(8), False)).decode()}
`,
};

/** Names in a call's environment, all of them. */
export const CALL_ENVIRONMENT: readonly string[] = [
  "HOME",
  "LANG",
  "PATH",
  "PYTHONPATH",
  "RUMI_CAPABILITY_SOCKET",
  "RUMI_EGRESS_SOCKET",
  "RUMI_PACK_ID",
  "TMPDIR",
];

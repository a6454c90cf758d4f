"""Reads, writes and runs what it should not, and says how each attempt ended."""
import os
import signal
import subprocess

READ = ["/etc/shadow", "/var/run/docker.sock", "/run/docker.sock", "/root/.ssh", "/host", "/proc/1/environ", "/proc/1/maps", "/proc/kcore"]
WRITE = ["/pack/x", "/runner/x", "/etc/x", "/usr/x", "/run/x", "/run/rumi/x", "/run/rumi/runner/x", "/dev/x", "/dev/mqueue/x",
         "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/x", "/x"]


def attempt(work):
    try:
        work()
        return "succeeded"
    except OSError as error:
        return f"failed: {type(error).__name__} {error.errno}"


def read(path):
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            file.read(1)


def write(path):
    with open(path, "w") as file:
        file.write("x")


def execute_what_was_written():
    with open("/tmp/program", "w") as file:
        file.write("#!/usr/bin/python3\n")
    os.chmod("/tmp/program", 0o755)
    subprocess.run(["/tmp/program"], check=True)


def run(input_data, context):
    found = {f"read {path}": attempt(lambda path=path: read(path)) for path in READ}
    found |= {f"write {path}": attempt(lambda path=path: write(path)) for path in WRITE}
    found["run /tmp/program"] = attempt(execute_what_was_written)
    found["open the memory of the runner"] = attempt(lambda: open("/proc/1/mem", "r+b").close())
    found["list the files of the runner"] = attempt(lambda: os.listdir("/proc/1/fd"))
    found["become root"] = attempt(lambda: os.setuid(0))
    found["link out of /data"] = attempt(lambda: os.symlink("/etc/passwd", "/data/link"))
    for name in ("SIGKILL", "SIGSTOP"):
        os.kill(1, getattr(signal, name))
    found["environment"] = dict(os.environ)
    found["files"] = sorted(os.listdir("/"))
    return found

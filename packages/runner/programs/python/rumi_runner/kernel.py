"""What the runner asks of the Linux kernel beside ordinary files and processes. Every function degrades where it cannot."""

import os

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
CALL_OOM_SCORE = b"1000"


def _prctl(option, value):
    """True when the kernel agreed. `_ctypes` alone: the `ctypes` package would cost milliseconds and memory in every child."""
    try:
        import _ctypes

        function = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")
        return _ctypes.call_function(function, (option, value, 0, 0, 0)) == 0
    except (ImportError, OSError, AttributeError):
        return False


def forbid_inspection():
    """Non-dumpable: no other process of this uid opens our /proc mem, fd, environ. Children inherit it."""
    return _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans():
    """Orphaned descendants become our children, as they do for process 1 of a pid namespace."""
    return os.getpid() == 1 or _prctl(PR_SET_CHILD_SUBREAPER, 1)


class OomScore:
    """Our own oom_score_adj, raised around a fork so that children start raised. Opened before we are non-dumpable."""

    def __init__(self):
        try:
            self._fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def raise_(self):
        self._write(CALL_OOM_SCORE)

    def restore(self):
        self._write(b"0")

    def _write(self, text):
        if self._fd >= 0:
            try:
                os.write(self._fd, text)
            except OSError:
                self._fd = -1


class Children:
    """Our direct children, adopted orphans among them."""

    def __init__(self):
        self._pid = tid = os.getpid()
        try:
            self._fd = os.open(f"/proc/{tid}/task/{tid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    @property
    def known(self):
        return self._fd >= 0 or _parent_of(self._pid) is not None

    def list(self):
        """Pids, zombies among them; empty where the kernel does not tell."""
        if self._fd < 0:
            return self._search()
        text = os.pread(self._fd, 65536, 0)
        return [int(pid) for pid in text.split()]

    def _search(self):
        """For kernels without a list of children, such as gVisor's: every process says who its parent is."""
        try:
            names = os.listdir("/proc")
        except OSError:
            return []
        return [int(name) for name in names if name.isdigit() and _parent_of(name) == self._pid]


def _parent_of(pid):
    """None when it is gone, or nothing tells."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # "pid (name) state parent ...": a name may hold anything.
        return int(os.read(fd, 512).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(fd)


class OomKills:
    """Counts the kernel's OOM kills in our cgroup, where it is readable (v1 and v2)."""

    _PATHS = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")

    def __init__(self, enabled):
        self._fd = -1
        if enabled:
            for path in self._PATHS:
                try:
                    self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    break
                except OSError:
                    continue
        self._seen = self._count()

    def grew(self):
        """True when there was one since the last time we asked."""
        before = self._seen
        self._seen = self._count()
        return self._seen > before

    def _count(self):
        if self._fd < 0:
            return 0
        try:
            for line in os.pread(self._fd, 4096, 0).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line[9:])
        except (OSError, ValueError):
            pass
        return 0

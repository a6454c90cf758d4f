"""Compiles pack source ahead, in a process of its own: a few hundred bytes of source can take minutes and all memory."""

import marshal
import os
import resource
import signal
import time

LEARN_SECONDS = 2.0
# More than any honest file of the cache's size needs beside what the runner holds already.
LEARN_MEMORY_BYTES = 256 * 1024 * 1024
MAX_LEARNT_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024


class Learner:
    """One such process as the runner sees it. It runs no line of the pack."""

    __slots__ = ("pid", "fd", "wanted", "deadline", "_data")

    @staticmethod
    def fork(wanted):
        fd, end = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(fd)
            os.close(end)
            raise
        if pid == 0:
            _compile_all(wanted, end)
        os.close(end)
        os.set_blocking(fd, False)
        learner = Learner()
        learner.pid = pid
        learner.fd = fd
        learner.wanted = wanted
        learner.deadline = time.monotonic() + LEARN_SECONDS
        learner._data = bytearray()
        return learner

    def read(self):
        """True when it said all that it will say."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        self._data += data
        return not data or len(self._data) > MAX_LEARNT_BYTES

    def kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def finish(self):
        """Ends it; pairs of a path and its code, as far as they came whole."""
        self.kill()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        os.close(self.fd)
        found = []
        data = self._data
        at = 0
        while len(data) - at >= 4 and len(data) <= MAX_LEARNT_BYTES:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            found.append(marshal.loads(data[at + 4 : end]))
            at = end
        return found


def _compile_all(wanted, end):
    try:
        os.dup2(end, 3)
        os.closerange(4, 4096)
        limit = _used_bytes() + LEARN_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for path in wanted:
            try:
                with open(path, "rb") as file:
                    source = file.read()
                code = compile(source, path, "exec", dont_inherit=True)
                text = marshal.dumps((path, code))
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            text = len(text).to_bytes(4, "big") + text
            while text:
                text = text[os.write(3, text) :]
    finally:
        os._exit(0)


def _used_bytes():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * 4096
    except (OSError, ValueError, IndexError):
        return 1024 * 1024 * 1024

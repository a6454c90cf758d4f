"""One call process as the runner sees it: its pid, its end of fd 3, its log pipes."""

import _signal
import _socket
import gc
import os

from .child import Worker

# Everything a new process runs before its call costs a fault for each page it touches: hence `_signal`, which has no enums.
SIGKILL = int(_signal.SIGKILL)


MAX_FDS = 4096


class CallProcess:
    __slots__ = ("pid", "fd", "out", "err", "call", "reader", "writer", "temporary", "prepared", "logs_watched", "_status")

    @staticmethod
    def fork(settings, cache, rehearsed):
        """A process that waits on its fd 3 and has fds 0 to 3 and nothing else. Only the parent returns."""
        ours, theirs = _socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        temporary = None
        if settings.temporary is not None:
            # Named here and made when its call begins: no other call can have put something there.
            temporary = f"{settings.temporary}/call-{os.urandom(8).hex()}"
            os.environ["TMPDIR"] = temporary
        # Frozen, so that the child's collector starts at nothing and touches nothing that it shares with us.
        gc.freeze()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            for fd in (out, out_end, err, err_end):
                os.close(fd)
            raise
        if pid == 0:
            _become_worker(settings, cache, rehearsed, theirs, out_end, err_end)
        theirs.close()
        os.close(out_end)
        os.close(err_end)
        process = CallProcess()
        process.pid = pid
        process.fd = ours.detach()
        process.out = out
        process.err = err
        process.call = None
        process.temporary = temporary
        process.prepared = False
        process.logs_watched = False
        process._status = None
        for fd in (process.fd, out, err):
            os.set_blocking(fd, False)
        return process

    def signal(self, number):
        """To its whole process group."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            if self._status is None:
                _kill(self.pid, number)

    def kill(self):
        self.signal(SIGKILL)

    def wait(self):
        """Reaps it and returns its wait status. Only after `kill`, or when it is known to be dead."""
        if self._status is None:
            try:
                self._status = os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                self._status = SIGKILL
        return self._status

    def ended(self):
        """True when it is dead by itself; never waits."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._status = status
        return True

    def fds(self):
        return (self.fd, self.out, self.err)

    def close(self):
        for fd in self.fds():
            os.close(fd)
        self.reader = self.writer = None


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _become_worker(settings, cache, rehearsed, channel, out, err):
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(channel.fileno(), 3, inheritable=False)
        os.closerange(4, MAX_FDS)
        gc.enable()
        worker = Worker(settings, cache)
        if rehearsed:
            worker.rehearse()
        worker.serve()
    finally:
        os._exit(70)

"""One call process as the runner sees it: its pid, its end of fd 3, its log pipes."""

import _socket
import os
import signal
import sys


class CallProcess:
    __slots__ = ("pid", "fd", "out", "err", "pidfd", "call", "reader", "writer", "_status")

    @staticmethod
    def fork(settings, cache):
        """A process that waits on its fd 3 and has fds 0 to 3 and nothing else. Only the parent returns."""
        ours, theirs = _socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            for fd in (out, out_end, err, err_end):
                os.close(fd)
            raise
        if pid == 0:
            _become_worker(settings, cache, theirs, out_end, err_end)
        theirs.close()
        os.close(out_end)
        os.close(err_end)
        process = CallProcess()
        process.pid = pid
        process.fd = ours.detach()
        process.out = out
        process.err = err
        process.call = None
        process._status = None
        for fd in (process.fd, out, err):
            os.set_blocking(fd, False)
        try:
            process.pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            process.pidfd = -1
        return process

    def signal(self, number):
        """To its whole process group."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            if self._status is None:
                _kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)

    def wait(self):
        """Reaps it and returns its wait status. Only after `kill`, or when it is known to be dead."""
        if self._status is None:
            try:
                self._status = os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                self._status = signal.SIGKILL
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
        return (self.fd, self.out, self.err) if self.pidfd < 0 else (self.fd, self.out, self.err, self.pidfd)

    def close(self):
        for fd in self.fds():
            os.close(fd)
        self.pidfd = -1


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _become_worker(settings, cache, channel, out, err):
    import gc

    from .child import Worker

    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(channel.fileno(), 3, inheritable=False)
        os.closerange(4, 4096)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        Worker(settings, cache).serve()
    finally:
        os._exit(70)

"""Requests to the daemon's sockets: a frame out, a frame back, on connections that are kept. Nothing here raises; what goes
wrong is a local error type."""

import _thread
import json
import os
import time

MAX_ANSWER_BYTES = 32 * 1024 * 1024
# Connections of one process to one socket. Threads beyond wait for their turn: the daemon takes 32 of the whole instance.
MAX_CONNECTIONS = 8
# The daemon keeps to the request's own limit; this much later it is given up here.
GRACE_SECONDS = 5.0
CROWDED_SECONDS = 0.002
DEFAULT_SECONDS = 30.0
# After these answers the daemon ends the connection.
LAST_WORDS = ("protocol_error", "busy")

ERRORS = {
    "socket_not_found": "this block has no such socket",
    "connection_refused": "the daemon did not take the connection",
    "timeout": "no answer in time",
    "protocol_error": "the answer was not understood",
}

_to_text = json.JSONEncoder(allow_nan=False).encode

# The call that runs in this process now, sent along so that the daemon knows which of several it is.
call_id = None


def ask(variable, request, timeout_seconds):
    """`(answer, None)` or `(None, error_type)` from the socket that the environment `variable` names."""
    path = os.environ.get(variable)
    if not path:
        return None, "socket_not_found"
    if call_id is not None:
        request["call_id"] = call_id
    try:
        body = _to_text(request).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return None, "protocol_error"
    try:
        return _pool(path).exchange(body, _limit(timeout_seconds))
    except MemoryError:
        return None, "protocol_error"


def _limit(timeout_seconds):
    try:
        seconds = float(timeout_seconds)
    except (TypeError, ValueError, OverflowError):
        seconds = DEFAULT_SECONDS
    return (seconds if 0 < seconds < 86400 else DEFAULT_SECONDS) + GRACE_SECONDS


class Failed(Exception):
    """With a local error type as its argument."""


class Stale(Exception):
    """A kept connection had ended before it took the request."""


class Pool:
    """Connections to one socket: a request has one for itself. Made for threads; another process makes its own."""

    def __init__(self, path):
        self.pid = os.getpid()
        self._path = path
        self._lock = _thread.allocate_lock()
        self._idle = []
        self._used = 0
        self._waiting = []

    def exchange(self, body, seconds):
        until = time.monotonic() + seconds
        if not self._enter(until):
            return None, "timeout"
        channel = None
        keep = False
        try:
            with self._lock:
                channel = self._idle.pop() if self._idle else None
            if channel is not None:
                try:
                    answer = _exchange(channel, body, until, True)
                except Stale:
                    channel.close()
                    channel = None
            if channel is None:
                channel = self._connect(until)
                answer = _exchange(channel, body, until, False)
            keep = answer.get("error_type") not in LAST_WORDS
            return answer, None
        except Failed as failure:
            return None, failure.args[0]
        finally:
            self._leave(channel, keep)

    def _enter(self, until):
        """Waits for the right to one connection. False when the time is over."""
        with self._lock:
            if self._used < MAX_CONNECTIONS:
                self._used += 1
                return True
            turn = _thread.allocate_lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(True, max(0.0, until - time.monotonic())):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # It was given just now.
        return True

    def _leave(self, channel, keep):
        with self._lock:
            if channel is not None:
                if keep:
                    self._idle.append(channel)
                else:
                    channel.close()
            if self._waiting:
                # The right goes on to the next, so the number of those used stays.
                self._waiting.pop(0).release()
            else:
                self._used -= 1

    def _connect(self, until):
        import _socket

        while True:
            channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                channel.settimeout(max(0.001, until - time.monotonic()))
                channel.connect(self._path)
                return channel
            except (FileNotFoundError, PermissionError):
                error_type = "socket_not_found"
            except TimeoutError:
                error_type = "timeout"
            except BlockingIOError:
                # More connect at once than the kernel lets wait.
                error_type = None if time.monotonic() < until else "timeout"
            except OSError:
                error_type = "connection_refused"
            channel.close()
            if error_type is not None:
                raise Failed(error_type)
            time.sleep(CROWDED_SECONDS)


_pools = {}


def _pool(path):
    pool = _pools.get(path)
    if pool is None or pool.pid != os.getpid():
        # A forked process would speak on its parent's connections.
        pool = _pools[path] = Pool(path)
    return pool


def _exchange(channel, body, until, kept):
    """The answer. Raises Failed; Stale when a kept connection turns out to have ended before it took the request."""
    sent = False
    try:
        channel.settimeout(max(0.001, until - time.monotonic()))
        try:
            channel.sendall(len(body).to_bytes(4, "big") + body)
            sent = True
        except (BrokenPipeError, ConnectionResetError):
            # The daemon may have said why before it closed.
            if kept:
                raise Stale from None
        try:
            head = channel.recv(65536)
        except ConnectionResetError:
            # It ended without having read all of the request.
            if kept:
                raise Stale from None
            raise
        if not head:
            raise Failed("protocol_error" if sent else "connection_refused")
        return _read(channel, head, until)
    except TimeoutError:
        raise Failed("timeout") from None
    except OSError:
        raise Failed("protocol_error") from None


def _read(channel, head, until):
    while len(head) < 4:
        head += _more(channel, 4 - len(head))
    size = int.from_bytes(head[:4], "big")
    if size > MAX_ANSWER_BYTES or len(head) - 4 > size:
        raise Failed("protocol_error")
    if len(head) - 4 < size:
        body = bytearray(size)
        have = len(head) - 4
        body[:have] = head[4:]
        view = memoryview(body)
        while have < size:
            channel.settimeout(max(0.001, until - time.monotonic()))
            count = channel.recv_into(view[have:])
            if count == 0:
                raise Failed("protocol_error")
            have += count
        text = body
    else:
        text = head[4:]
    try:
        answer = json.loads(str(text, "utf-8"))
    except (ValueError, RecursionError):
        raise Failed("protocol_error") from None
    if type(answer) is not dict:
        raise Failed("protocol_error")
    return answer


def _more(channel, count):
    data = channel.recv(count)
    if not data:
        raise Failed("protocol_error")
    return data

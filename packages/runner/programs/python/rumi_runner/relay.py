"""The forward proxy as ordinary HTTP libraries see it: a port of this instance's own loopback whose connections are carried
to the daemon's egress socket. Nothing is read into here: the daemon parses, judges and asks.

It lives in process 1, so it may never raise, wait, or grow: a bounded number of connections, each with one piece in hand."""

import _socket
import errno
import os
import select
import time

HELLO = b'\x00\x00\x00\x10{"type":"proxy"}'
MAX_CONNECTIONS = 32
# Connections that were refused and have not gone yet; beyond those nothing more is accepted.
MAX_LINGERING = 32
LINGER_SECONDS = 1.0
PIECE_BYTES = 65536
BACKLOG = 32
# What is carried in one turn: calls come first.
MAX_STEPS = 4
READ = select.EPOLLIN
WRITE = select.EPOLLOUT


def _refusal(status):
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


# A bare close would make some clients try again without end.
TOO_MANY = _refusal(b"429 Too Many Requests")
NO_PROXY = _refusal(b"502 Bad Gateway")


def port_of(environment):
    """The port that this instance's libraries are told, or None when they are told none."""
    host, _, port = environment.get("http_proxy", "").removeprefix("http://").partition(":")
    return int(port) if host == "127.0.0.1" and port.isascii() and port.isdigit() and 0 < int(port) < 65536 else None


class Side:
    """One end of a carried connection."""

    __slots__ = ("socket", "fd", "pending", "ended", "shut", "mask")

    def __init__(self, socket):
        self.socket = socket
        self.fd = socket.fileno()
        # Bytes for this end that it did not take yet.
        self.pending = b""
        # It sends no more.
        self.ended = False
        # It is told that no more comes.
        self.shut = False
        self.mask = 0


class Carried:
    """A client inside and its connection to the daemon; `daemon` is None for one that was refused."""

    __slots__ = ("client", "daemon", "answered", "until")

    def __init__(self, client, daemon, until):
        self.client = client
        self.daemon = daemon
        self.answered = False
        self.until = until


class Relay:
    """Raises OSError when the port cannot be had."""

    def __init__(self, port, egress_path, poll, handlers):
        self._path = egress_path
        self._poll = poll
        self._handlers = handlers
        self._carried = []
        self._lingering = []
        self._steps = 0
        self._events = 0
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._listening = False
        self._listen(True)

    @property
    def idle(self):
        return not self._carried and not self._lingering

    @property
    def wants_clock(self):
        return bool(self._lingering)

    def new_turn(self):
        """More may be carried. How many events of the last turn were the relay's."""
        events = self._events
        self._events = 0
        self._steps = MAX_STEPS
        return events

    def watch_clock(self):
        now = time.monotonic()
        for carried in [one for one in self._lingering if now >= one.until]:
            self._drop(carried)

    def end_all(self):
        """No call is in flight: nothing that it opened stays."""
        for carried in [*self._carried, *self._lingering]:
            self._drop(carried)

    # -- connections ------------------------------------------------------------------------------------------------

    def _listen(self, wanted):
        if wanted == self._listening:
            return
        self._listening = wanted
        fd = self._listener.fileno()
        if wanted:
            self._handlers[fd] = self._on_listener
            self._poll.register(fd, READ)
        else:
            del self._handlers[fd]
            self._poll.unregister(fd)

    def _on_listener(self, _events):
        if not self._step():
            return
        try:
            fd, _ = self._listener._accept()
        except OSError:
            return
        try:
            socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, fd)
        except Exception:
            os.close(fd)
            return
        try:
            self._take(socket)
        except Exception:
            # No memory, no descriptor: this one is not carried.
            for carried in [one for one in (*self._carried, *self._lingering) if one.client.socket is socket]:
                self._drop(carried)
            socket.close()

    def _take(self, socket):
        client = Side(socket)
        client.socket.setblocking(False)
        client.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        daemon, refusal = self._open() if len(self._carried) < MAX_CONNECTIONS else (None, TOO_MANY)
        carried = Carried(client, daemon, 0.0)
        if daemon is None:
            self._linger(carried, refusal)
            return
        self._carried.append(carried)
        daemon.pending = HELLO
        self._flush(carried, daemon)
        self._update(carried)

    def _open(self):
        """`(side, None)`, or None and what the client is told."""
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        try:
            socket.connect(self._path)
            return Side(socket), None
        except OSError as error:
            socket.close()
            return None, TOO_MANY if error.errno == errno.EAGAIN else NO_PROXY

    def _linger(self, carried, refusal):
        """Says why, and gives the client a moment to hear it: closing at once with bytes unread would take it back."""
        carried.until = time.monotonic() + LINGER_SECONDS
        self._lingering.append(carried)
        client = carried.client
        client.pending = refusal
        client.ended = False
        if len(self._lingering) >= MAX_LINGERING:
            self._listen(False)
        self._flush(carried, client)
        self._update(carried)

    def _drop(self, carried):
        for some in (self._carried, self._lingering):
            if carried in some:
                some.remove(carried)
        for side in (carried.client, carried.daemon):
            if side is not None:
                self._watch(side, None, 0)
                side.socket.close()
        self._listen(True)

    # -- bytes ------------------------------------------------------------------------------------------------------

    def _step(self):
        self._events += 1
        if self._steps <= 0:
            return False
        self._steps -= 1
        return True

    def _on_side(self, carried, side, events):
        if not self._step():
            return
        try:
            self._carry(carried, side, events)
        except Exception:
            self._drop(carried)

    def _carry(self, carried, side, events):
        other = carried.daemon if side is carried.client else carried.client
        if events & WRITE:
            self._flush(carried, side)
        if events & ~WRITE:
            self._read(carried, side, other)
        if carried in self._carried or carried in self._lingering:
            self._update(carried)

    def _read(self, carried, side, other):
        if side.ended or (other is not None and other.pending):
            # A hang-up is told though nobody asked to read: what it stands for is found when the other end took its piece.
            if other is None or not other.pending:
                self._drop(carried)
            return
        try:
            data = side.socket.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if other is None:
            # Refused: what it still says is not looked at.
            if not data:
                self._drop(carried)
            return
        if side is carried.daemon and not carried.answered:
            if data[:1] != b"H":
                # It ended, or said in a frame of its own that there are too many.
                self._refuse(carried)
                return
            carried.answered = True
        if data:
            other.pending = data
        else:
            side.ended = True
        self._flush(carried, other)

    def _refuse(self, carried):
        self._watch(carried.daemon, None, 0)
        carried.daemon.socket.close()
        carried.daemon = None
        self._carried.remove(carried)
        self._linger(carried, TOO_MANY)

    def _flush(self, carried, side):
        other = carried.daemon if side is carried.client else carried.client
        try:
            if side.pending:
                count = side.socket.send(side.pending)
                side.pending = side.pending[count:]
            if not side.pending and not side.shut and (carried.daemon is None or other.ended):
                side.shut = True
                side.socket.shutdown(_socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            # It takes no more, so there is nothing to carry; what it said before may still be on its way.
            side.pending = b""
            side.shut = True
            if other is None or side is carried.client:
                side.ended = True
                if other is not None:
                    other.ended = True

    def _update(self, carried):
        """Waits for what can go on, or ends it when nothing can."""
        client, daemon = carried.client, carried.daemon
        if daemon is None:
            if client.ended:
                self._drop(carried)
            else:
                self._watch(client, carried, READ | (WRITE if client.pending else 0))
            return
        if client.ended and daemon.ended and not client.pending and not daemon.pending:
            self._drop(carried)
            return
        for side, other in ((client, daemon), (daemon, client)):
            reads = READ if not side.ended and not other.pending else 0
            self._watch(side, carried, reads | (WRITE if side.pending else 0))

    def _watch(self, side, carried, mask):
        if mask == side.mask:
            return
        if mask == 0:
            self._handlers.pop(side.fd, None)
            self._poll.unregister(side.fd)
        elif side.mask == 0:
            self._handlers[side.fd] = lambda events: self._on_side(carried, side, events)
            self._poll.register(side.fd, mask)
        else:
            self._poll.modify(side.fd, mask)
        side.mask = mask

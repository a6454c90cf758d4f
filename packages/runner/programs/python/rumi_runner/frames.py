"""Frames: 4-byte big-endian length, JSON header of at most 64 KiB, then `payload` raw bytes if the header names a count."""

import json
import mmap
import os
import select

MAX_HEADER_BYTES = 64 * 1024
# Small, so that no read asks the kernel for fresh pages; a long payload is read straight into its own buffer.
READ_BYTES = 16 * 1024

_encode_text = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


LARGE_BYTES = 64 * 1024
MADV_POPULATE_WRITE = 23


def buffer_of(size):
    """Room for `size` bytes. A large one gets all its pages in one go instead of by one fault each."""
    if size < LARGE_BYTES:
        return bytearray(size)
    room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        room.madvise(MADV_POPULATE_WRITE)
    except (OSError, ValueError):
        pass
    return room


class FrameError(Exception):
    """The peer does not speak the protocol."""


def encode_header(header):
    """Length and header bytes of a frame."""
    text = _encode_text(header).encode("ascii")
    return len(text).to_bytes(4, "big") + text


def parse_header(text):
    """The header object in `text`, and its payload count (0 when it names none)."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("a header is not JSON") from None
    if type(header) is not dict:
        raise FrameError("a header is not an object")
    size = header.get("payload", 0)
    if type(size) is not int or size < 0:
        raise FrameError("a payload count is not a number")
    return header, size


class FrameReader:
    """Cuts what a non-blocking fd gives into frames; a payload is copied once, into a buffer of its size."""

    __slots__ = ("fd", "limit", "_head", "_header", "_raw", "_body", "_filled")

    def __init__(self, fd, limit):
        self.fd = fd
        self.limit = limit  # size -> None, or raises
        self._head = b""
        self._header = None
        self._raw = None
        self._body = None
        self._filled = 0

    def pending(self):
        """True while there is something to read or the stream's end was not seen yet, as far as one look tells."""
        return select.select((self.fd,), (), (), 0)[0] != []

    def read(self):
        """`(frames, open)`: whole frames `(header, raw header bytes, payload)` so far; `open` is False at the stream's end."""
        frames = []
        body = self._body
        if body is not None:
            view = memoryview(body)
            while self._filled < len(body):
                try:
                    count = os.readv(self.fd, [view[self._filled :]])
                except BlockingIOError:
                    return frames, True
                except ConnectionResetError:
                    return frames, False
                if count == 0:
                    return frames, False
                self._filled += count
            frames.append((self._header, self._raw, body))
            self._body = self._header = self._raw = None
            return frames, True
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return frames, True
        except ConnectionResetError:
            return frames, False
        if not data:
            return frames, False
        if self._head:
            data = self._head + data
            self._head = b""
        at = 0
        end = len(data)
        while end - at >= 4:
            length = int.from_bytes(data[at : at + 4], "big")
            if length > MAX_HEADER_BYTES:
                raise FrameError("a header is too long")
            start = at + 4 + length
            if end < start:
                break
            raw = data[at + 4 : start]
            header, size = parse_header(raw)
            if size:
                self.limit(size)
                if end - start < size:
                    self._header = header
                    self._raw = raw
                    self._body = buffer_of(size)
                    self._filled = end - start
                    self._body[: self._filled] = memoryview(data)[start:end]
                    return frames, True
            frames.append((header, raw, data[start : start + size]))
            at = start + size
        if at < end:
            self._head = data[at:] if at else data
        return frames, True


class FrameWriter:
    """Writes whole frames to a non-blocking fd, in order; keeps what the peer does not take yet."""

    __slots__ = ("fd", "_queue", "backlog")

    def __init__(self, fd):
        self.fd = fd
        self._queue = []
        self.backlog = 0

    def write(self, *parts):
        """True when something had to be kept: the caller then waits until the fd is writable and calls `flush`."""
        if self._queue:
            for part in parts:
                self._keep(part)
            return True
        total = 0
        for part in parts:
            total += len(part)
        try:
            sent = os.writev(self.fd, parts)
        except BlockingIOError:
            sent = 0
        if sent == total:
            return False
        for part in parts:
            size = len(part)
            if sent >= size:
                sent -= size
            else:
                self._keep(memoryview(part)[sent:])
                sent = 0
        return bool(self._queue)

    def flush(self):
        """True when something is still kept."""
        while self._queue:
            part = self._queue[0]
            try:
                sent = os.write(self.fd, part)
            except BlockingIOError:
                return True
            self.backlog -= sent
            if sent < len(part):
                self._queue[0] = part[sent:]
                return True
            del self._queue[0]
        return False

    def _keep(self, part):
        if len(part):
            self._queue.append(memoryview(part))
            self.backlog += len(part)


def read_frame(fd):
    """Blocking: the next frame's header and payload, or None at the stream's end. Payload is bytes-like."""
    data = os.read(fd, READ_BYTES)
    if not data:
        return None
    while len(data) < 4:
        more = os.read(fd, READ_BYTES)
        if not more:
            return None
        data += more
    start = 4 + int.from_bytes(data[:4], "big")
    while len(data) < start:
        more = os.read(fd, READ_BYTES)
        if not more:
            return None
        data += more
    header, size = parse_header(data[4:start])
    if len(data) - start == size:
        return header, data[start:]
    body = buffer_of(size)
    filled = len(data) - start
    body[:filled] = memoryview(data)[start:]
    view = memoryview(body)
    while filled < size:
        count = os.readv(fd, [view[filled:]])
        if count == 0:
            return None
        filled += count
    return header, body


def write_all(fd, *parts):
    """Blocking: writes all of `parts`."""
    total = sum(map(len, parts))
    sent = os.writev(fd, parts)
    if sent == total:
        return
    for part in parts:
        size = len(part)
        if sent >= size:
            sent -= size
            continue
        view = memoryview(part)[sent:]
        sent = 0
        while view:
            view = view[os.write(fd, view) :]

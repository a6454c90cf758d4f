"""One request to one of the daemon's sockets: a frame out, a frame back. Never raises; answers a local error type."""

import json
import os

MAX_ANSWER_BYTES = 32 * 1024 * 1024

ERRORS = {
    "socket_not_found": "this block has no such socket",
    "connection_refused": "the daemon did not take the connection",
    "timeout": "no answer in time",
    "protocol_error": "the answer was not understood",
}


def ask(variable, request, timeout_seconds):
    """`(answer, None)` or `(None, error_type)` from the socket that the environment `variable` names."""
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        return None, "socket_not_found"
    try:
        body = json.dumps(request, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return None, "protocol_error"
    return _exchange(path, body, timeout_seconds)


def _exchange(path, body, timeout_seconds):
    import _socket

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.settimeout(timeout_seconds)
        try:
            channel.connect(path)
        except (FileNotFoundError, PermissionError):
            return None, "socket_not_found"
        except TimeoutError:
            return None, "timeout"
        except OSError:
            return None, "connection_refused"
        channel.sendall(len(body).to_bytes(4, "big") + body)
        size = int.from_bytes(_receive(channel, 4), "big")
        if size > MAX_ANSWER_BYTES:
            return None, "protocol_error"
        answer = json.loads(_receive(channel, size))
        return (answer, None) if isinstance(answer, dict) else (None, "protocol_error")
    except TimeoutError:
        return None, "timeout"
    except (OSError, ValueError, RecursionError):
        return None, "protocol_error"
    finally:
        channel.close()


def _receive(channel, size):
    body = bytearray(size)
    view = memoryview(body)
    while view:
        count = channel.recv_into(view)
        if count == 0:
            raise OSError("the answer was cut short")
        view = view[count:]
    return bytes(body)

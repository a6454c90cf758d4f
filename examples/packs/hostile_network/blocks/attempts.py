"""Tries to reach every network there could be and says how each attempt ended."""
import socket

VSOCK = 40
TARGETS = {
    "host_loopback": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8765)),
    "host_loopback_v6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 8765)),
    "bridge": (socket.AF_INET, socket.SOCK_STREAM, ("172.17.0.1", 2375)),
    "metadata": (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
    "internet": (socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 443)),
    "abstract_socket": (socket.AF_UNIX, socket.SOCK_STREAM, "\0rumi-hostile-target"),
    "vsock": (VSOCK, socket.SOCK_STREAM, (2, 1024)),
    "packet": (17, socket.SOCK_RAW, None),
    "raw": (socket.AF_INET, socket.SOCK_RAW, ("127.0.0.1", 0)),
}


def attempt(family, kind, address):
    try:
        with socket.socket(family, kind) as connection:
            connection.settimeout(1)
            if address is None:
                return "opened"
            connection.connect(address)
        return "reached"
    except OSError as error:
        return f"failed: {type(error).__name__} {error.errno}"


def run(input_data, context):
    targets = dict(TARGETS)
    port = input_data.get("port")
    if port:
        targets["listener_of_the_host"] = (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
    name = input_data.get("abstract")
    if name:
        targets["abstract_of_the_host"] = (socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name)
    found = {name: attempt(*target) for name, target in targets.items()}
    try:
        socket.getaddrinfo("example.com", 443)
        found["dns"] = "reached"
    except OSError as error:
        found["dns"] = f"failed: {type(error).__name__}"
    found["interfaces"] = [name for _, name in socket.if_nameindex()]
    return found

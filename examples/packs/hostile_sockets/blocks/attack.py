"""Attacks on the sockets of its instance, by name."""
import os
import socket
import stat
import time

import wire

SOCKETS = ("RUMI_CAPABILITY_SOCKET", "RUMI_EGRESS_SOCKET")


def last_words(connection):
    """What comes until the other side is done: an answer, or nothing."""
    try:
        return wire.receive(connection).get("error_type")
    except (OSError, ConnectionError) as error:
        return type(error).__name__


def ask(input_data):
    """Whole messages as they are given, each on a connection of its own."""
    answers = []
    for name, message in input_data["asks"]:
        with wire.connect(f"RUMI_{name.upper()}_SOCKET") as connection:
            wire.send(connection, message)
            answers.append(wire.receive(connection))
    return answers


def raw(input_data):
    """Bytes as they are given (hex), then silence; on each socket."""
    answers = {}
    for variable in SOCKETS:
        for name, data in input_data["asks"]:
            with wire.connect(variable) as connection:
                try:
                    connection.sendall(bytes.fromhex(data))
                except OSError:
                    pass
                if name.startswith("cut"):
                    connection.shutdown(socket.SHUT_WR)
                answers[f"{variable} {name}"] = last_words(connection)
    return answers


def oversized(input_data):
    """A frame said to be just over the limit, and sent."""
    found = {}
    for variable in SOCKETS:
        with wire.connect(variable) as connection:
            size = 16 * 1024 * 1024
            try:
                connection.sendall(size.to_bytes(4, "big"))
                for _ in range(256):
                    connection.sendall(b" " * 65536)
            except OSError:
                pass
            found[variable] = last_words(connection)
    return found


def slow(input_data):
    """Thirty frames at once, a byte each second."""
    connections = [wire.connect(variable) for variable in SOCKETS for _ in range(15)]
    ended = 0
    for second in range(8):
        for connection in connections:
            try:
                connection.sendall(b"\0")
            except OSError:
                ended += 1
        time.sleep(1)
    for connection in connections:
        connection.close()
    return {"ended": ended > 0}


def deaf(input_data):
    """Asks without end and reads nothing."""
    sent = {}
    for variable, message in zip(SOCKETS, input_data["asks"]):
        with wire.connect(variable) as connection:
            connection.settimeout(1)
            count = 0
            try:
                while count < 20_000:
                    wire.send(connection, message)
                    count += 1
            except OSError as error:
                sent[variable] = type(error).__name__
            sent[variable + " all"] = count == 20_000
    return sent


def crowd(input_data):
    """A thousand connections to each socket from several processes, some with half a frame, as many held as a process may."""
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                press(input_data["asks"])
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return {"processes": len(children)}


def press(seconds):
    held = []
    for variable in SOCKETS * 250:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(2)
            connection.connect(os.environ[variable])
            if len(held) % 3 == 0:
                connection.sendall(b"\0\0")
            held.append(connection)
        except OSError:
            # Refused, or more than a process may hold.
            if held:
                held.pop(0).close()
    time.sleep(seconds)


def others(input_data):
    """Sockets of others: where they could be, what is on any path, what other processes hold."""
    found = {"named": {}, "walked": [], "run": {}}
    for path in input_data["paths"]:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
                found["named"][path] = "connected"
            except OSError as error:
                found["named"][path] = type(error).__name__
    for top in ("/run", "/tmp", "/var", "/pack", "/data", "/runner", "/dev", "/proc/1/root"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    if stat.S_ISSOCK(os.lstat(path).st_mode):
                        found["walked"].append(path)
                except OSError:
                    pass
    for folder in ("/run/rumi", "/run/rumi/capability", "/run/rumi/egress", "/run/rumi/capability/..", "/run/rumi/egress/../.."):
        try:
            found["run"][folder] = sorted(os.listdir(folder))
        except OSError as error:
            found["run"][folder] = type(error).__name__
    try:
        os.rename("/run/rumi/capability/capability.sock", "/run/rumi/capability/x.sock")
        found["run"]["rename"] = "renamed"
    except OSError as error:
        found["run"]["rename"] = type(error).__name__
    return found


ATTACKS = {one.__name__: one for one in (ask, raw, oversized, slow, deaf, crowd, others)}


def run(input_data, context):
    return ATTACKS[input_data["how"]](input_data)

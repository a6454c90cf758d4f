"""Frames to the daemon's sockets without any of the runner's help."""
import json
import os
import socket


def connect(variable="RUMI_EGRESS_SOCKET"):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(os.environ[variable])
    return connection


def send(connection, message):
    body = json.dumps(message).encode()
    connection.sendall(len(body).to_bytes(4, "big") + body)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def receive(connection):
    return json.loads(exactly(connection, int.from_bytes(exactly(connection, 4), "big")))

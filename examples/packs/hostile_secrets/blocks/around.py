"""Goes around the requests that are cleaned: the forward proxy, tunnels, TLS of its own."""
import os
import socket
import ssl
import urllib.request

import wire
from veil import veil


def urllib_get(ask):
    request = urllib.request.Request(ask["url"], headers=ask.get("headers") or {})
    try:
        with urllib.request.urlopen(request, timeout=20, context=ssl._create_unverified_context()) as answer:
            return f"{answer.status} {answer.headers} ".encode() + answer.read()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason} {error.headers} ".encode() + error.read()


def all_of(connection, request):
    connection.sendall(request)
    seen = b""
    while True:
        try:
            piece = connection.recv(65536)
        except OSError as error:
            return seen + repr(error).encode()
        if not piece:
            return seen
        seen += piece


def get(ask):
    lines = [f"GET {ask.get('target', '/')} HTTP/1.1", f"Host: {ask['host']}", "Connection: close"]
    return ("\r\n".join(lines + [f"{k}: {v}" for k, v in (ask.get("headers") or {}).items()]) + "\r\n\r\n").encode()


def own_tls(raw, ask):
    context = ssl._create_unverified_context()
    with context.wrap_socket(raw, server_hostname=ask.get("sni", ask["host"])) as connection:
        return all_of(connection, get(ask))


def connect(ask):
    """CONNECT to the forward proxy, then TLS of its own, or plain HTTP."""
    raw = socket.create_connection(("127.0.0.1", 3128), timeout=20)
    target = f"{ask.get('to', ask['host'])}:{ask['port']}"
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = raw.recv(4096)
        if not piece:
            return head
        head += piece
    if b" 200 " not in head.split(b"\r\n")[0]:
        return head
    return head + (own_tls(raw, ask) if ask.get("tls", True) else all_of(raw, get(ask)))


def frame_tunnel(ask):
    connection = wire.connect()
    wire.send(connection, {"type": "tunnel", "host": ask.get("to", ask["host"]), "port": ask["port"]})
    answer = wire.receive(connection)
    if not answer.get("success"):
        return repr(answer)
    return own_tls(connection, ask)


def proxied(ask):
    """A request to the forward proxy, written by hand."""
    raw = socket.create_connection(("127.0.0.1", 3128), timeout=20)
    return all_of(raw, get({**ask, "target": ask["url"]}))


WAYS = {"urllib": urllib_get, "connect": connect, "tunnel": frame_tunnel, "proxied": proxied}


def run(input_data, context):
    found = {}
    for ask in input_data["asks"]:
        try:
            found[ask["name"]] = veil(WAYS[ask["way"]](ask))
        except Exception as error:
            found[ask["name"]] = veil(repr(error))
    found["proxy"] = os.environ.get("https_proxy")
    return found

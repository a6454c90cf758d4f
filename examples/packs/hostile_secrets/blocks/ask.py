"""Asks as it is told and keeps every byte that comes back: headers, body, error, final URL; of a stream, each frame."""
import base64
import json

import rumi_syscall
import wire
from veil import veil


def whole(ask):
    answer = rumi_syscall.http_request(ask.get("method", "GET"), ask["url"], ask.get("headers"), ask.get("body"))
    seen = json.dumps(answer, ensure_ascii=False)
    if answer["headers"].get("x-proxy-body-encoding") == "base64":
        return seen.encode() + b"\n" + base64.b64decode(answer["body"])
    return seen + "\n" + answer["body"]


def stream(ask):
    seen = b""
    with wire.connect() as connection:
        message = {"method": ask.get("method", "GET"), "url": ask["url"], "headers": ask.get("headers") or {}, "stream": True}
        wire.send(connection, message)
        while True:
            frame = wire.receive(connection)
            if frame.get("type") != "chunk":
                seen += json.dumps(frame, ensure_ascii=False).encode()
            else:
                seen += base64.b64decode(frame["body_base64"])
            if frame.get("type") != "head" and frame.get("type") != "chunk":
                return seen


def run(input_data, context):
    found = {}
    for ask in input_data["asks"]:
        try:
            found[ask["name"]] = veil((stream if ask.get("stream") else whole)(ask))
        except Exception as error:
            found[ask["name"]] = veil(repr(error))
    return found

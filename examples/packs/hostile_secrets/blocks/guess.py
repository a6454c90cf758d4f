"""Lets the proxy say which guesses are right: what is masked is, or what is held back, or what is cut off in time."""
import base64
import time

import rumi_syscall
import wire


def masked(ask):
    """Echoes one guess a request; true where it did not come back."""
    told = []
    for guess in ask["guesses"]:
        answer = rumi_syscall.http_request("POST", ask["url"], {"Content-Type": "text/plain"}, guess)
        told.append(answer["success"] and guess not in answer["body"])
    return told


def cut(ask):
    """The same as a stream that it leaves as soon as it knows."""
    told = []
    for guess in ask["guesses"]:
        with wire.connect() as connection:
            wire.send(connection, {"method": "GET", "url": ask["url"] + guess, "stream": True})
            seen = b""
            kind = "head"
            until = time.monotonic() + 3
            while kind in ("head", "chunk") and time.monotonic() < until and b"REDACTED" not in seen and b"~" not in seen:
                frame = wire.receive(connection)
                kind = frame.get("type")
                if kind == "chunk":
                    seen += base64.b64decode(frame["body_base64"])
            told.append(b"REDACTED" in seen)
    return told


def held(ask):
    """How many bytes each piece of a stream has, by guess."""
    told = []
    for guess in ask["guesses"]:
        sizes = []
        with wire.connect() as connection:
            wire.send(connection, {"method": "GET", "url": ask["url"] + guess, "stream": True})
            while True:
                frame = wire.receive(connection)
                if frame.get("type") == "chunk":
                    sizes.append(len(base64.b64decode(frame["body_base64"])))
                elif frame.get("type") != "head":
                    break
        told.append(sizes)
    return told


def run(input_data, context):
    return [{"masked": masked, "cut": cut, "held": held}[ask["way"]](ask) for ask in input_data["asks"]]

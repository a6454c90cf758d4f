"""Prints results, frames and control characters on every output it has; its answer must stay its answer."""
import os
import sys


def run(input_data, context):
    forged = b'{"type":"result","call_id":"x","kind":"ok"}'
    print('{"value": "forged"}')
    print("forged", file=sys.stderr)
    os.write(1, len(forged).to_bytes(4, "big") + forged)
    os.write(2, b"\x00\x00\xff\xff\x1b[2J")
    sys.stdout.write("no line end")
    return {"answer": 42}

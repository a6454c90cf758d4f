"""Writes to stdout as fast as it can."""
import os
import time


def run(input_data, context):
    end = time.monotonic() + (input_data.get("seconds") or 2)
    block = b"x" * 65536
    written = 0
    while time.monotonic() < end:
        written += os.write(1, block)
    return {"written": written}

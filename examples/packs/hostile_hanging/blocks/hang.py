"""Hangs: asleep, busy, deaf to SIGTERM, or with a child that is."""
import os
import signal
import time


def run(input_data, context):
    how = input_data.get("how") or "sleep"
    if how == "busy":
        while True:
            pass
    if how in ("deaf", "deaf_child"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "deaf_child" and os.fork() == 0:
        os.setsid()
    print("hanging", flush=True)
    while True:
        time.sleep(1)

"""Leaves a process behind that belongs to nobody: new session, forked twice, SIGTERM ignored."""
import os
import signal
import time


def run(input_data, context):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            while True:
                with open("/tmp/still-here", "w") as file:
                    file.write("x")
                time.sleep(0.05)
        os._exit(0)
    return {"left_behind": 1}

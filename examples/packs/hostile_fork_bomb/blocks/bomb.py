"""Forks until the kernel refuses; every child stays."""
import os
import time


def run(input_data, context):
    children = 0
    try:
        while children < 5000:
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
                os._exit(0)
            children += 1
    except OSError as error:
        return {"children": children, "stopped_by": type(error).__name__}
    return {"children": children, "stopped_by": None}

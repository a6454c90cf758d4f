"""Looks for the runner's socket and for connections it could have inherited."""
import os
import socket
import stat


def run(input_data, context):
    found = {"sockets": []}
    try:
        found["folder"] = sorted(os.listdir("/run/rumi/runner"))
    except OSError as error:
        found["folder"] = type(error).__name__
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect("/run/rumi/runner/runner.sock")
            found["connect"] = "connected"
    except OSError as error:
        found["connect"] = type(error).__name__
    for name in os.listdir("/proc/self/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:
            continue
        if stat.S_ISSOCK(mode):
            found["sockets"].append(int(name))
    return found

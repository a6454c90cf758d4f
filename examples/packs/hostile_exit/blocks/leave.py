"""Leaves without an answer: at once, by a signal, or politely."""
import os
import signal
import sys


def run(input_data, context):
    how = input_data.get("how") or "exit"
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill_everything":
        os.kill(-1, signal.SIGKILL)
    sys.exit("polite")

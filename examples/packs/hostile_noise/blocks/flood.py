"""Floods both sockets from eight threads each, and counts what came back."""
import threading
import time

import rumi_capability
import rumi_syscall


def run(input_data, context):
    until = time.monotonic() + float(input_data["seconds"])
    counts = {}
    lock = threading.Lock()

    def note(kind, error_type):
        with lock:
            name = f"{kind} {error_type or 'answered'}"
            counts[name] = counts.get(name, 0) + 1

    def powers():
        while time.monotonic() < until:
            note("power", rumi_capability.call("store.get", {"store_id": "hostile_noise__own", "key": "k"})["error_type"])

    def network():
        while time.monotonic() < until:
            note("network", rumi_syscall.get(input_data["url"])["error_type"])

    threads = [threading.Thread(target=work) for work in (powers, network) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts

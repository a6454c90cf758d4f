import time

import rumi_capability


def run(value):
    times = []
    for _ in range(value["calls"]):
        started = time.perf_counter()
        if not rumi_capability.call("bench.echo")["success"]:
            raise ValueError("refused")
        times.append((time.perf_counter() - started) * 1000)
    return times

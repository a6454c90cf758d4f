"""Uses up files, inodes, disk and CPU, and says where each ended."""
import os
import time


def run(input_data, context):
    found = {}
    files = []
    try:
        while len(files) < 100_000:
            files.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        found["open files"] = [len(files), error.errno]
    for descriptor in files:
        os.close(descriptor)
    made = 0
    try:
        while made < 1_000_000:
            open(f"/tmp/{made}", "w").close()
            made += 1
    except OSError as error:
        found["inodes"] = [made, error.errno]
    for number in range(made):
        os.unlink(f"/tmp/{number}")
    written = 0
    try:
        with open("/tmp/big", "wb") as file:
            while written < 1 << 30:
                written += file.write(b"x" * (1 << 20))
                file.flush()
    except OSError as error:
        found["disk"] = [written, error.errno]
    end = time.monotonic() + (input_data.get("spin_seconds") or 0.5)
    while time.monotonic() < end:
        pass
    return found

"""The Python runner: process 1 of an instance. `main.py <socket path>` or `main.py --stdio`."""

import os
import sys

# A launcher may name the folder it started us in; no call's environment holds it.
os.environ.pop("PWD", None)

sys.path.insert(0, __file__.rpartition("/")[0])

from rumi_runner.supervisor import main  # noqa: E402

main(sys.argv[1:])

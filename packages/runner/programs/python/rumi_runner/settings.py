"""What the host's `hello` says, checked; and the folders of this instance."""

import os

from .failures import Paths

PROTOCOL = 1
DEFAULT_SPARES = 2
MAX_SPARES = 16
CONTAINER_TEMPORARY = ("/tmp", "/dev/shm", "/dev/mqueue")


class Settings:
    """Raises ValueError or KeyError for a hello that is not one."""

    def __init__(self, hello, runner_folder):
        if hello.get("type") != "hello" or type(hello["protocols"]) is not list:
            raise ValueError("the first message is not a hello")
        if PROTOCOL not in hello["protocols"]:
            raise ValueError(f"no common protocol: this runner speaks {PROTOCOL}")
        if hello["runtime"] != "python":
            raise ValueError("this runner runs Python")
        self.reuse = hello["reuse"] is True
        self.slots = 1 if self.reuse else max(1, int(hello["slots"]))
        self.spares = 1 if self.reuse else min(MAX_SPARES, int(hello.get("spares", DEFAULT_SPARES)))
        self.max_payload_bytes = int(hello["limits"]["max_payload_bytes"])
        self.cancel_grace = int(hello["limits"]["cancel_grace_ms"]) / 1000
        roots = hello.get("roots") or {}
        self.pack = roots.get("pack", "/pack").rstrip("/")
        self.pip = roots.get("pip_packages", "/pip-packages").rstrip("/")
        inside = os.getpid() == 1
        folders = roots.get("temp", CONTAINER_TEMPORARY if inside else ())
        self.temporary_folders = tuple(folder.rstrip("/") for folder in folders)
        self.temporary = self.temporary_folders[0] if self.temporary_folders else None
        self.import_paths = (runner_folder, self.pip)
        self.source_roots = (self.pack, self.pip)
        self.paths = Paths(
            (
                (self.pack, "/pack"),
                (self.pip, "/pip-packages"),
                (runner_folder, "/runner/python"),
                *(((self.temporary, "/tmp"),) if self.temporary else ()),
                *(() if inside else ((os.__file__.rpartition("/")[0], "/usr/lib/python3"),)),
            )
        )

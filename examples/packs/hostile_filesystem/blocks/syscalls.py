"""Makes system calls that reach past the walls and says what errno each gave."""
import ctypes
import os

NUMBERS = {
    "unshare": (272, 0x10000000), "setns": (308, 3, 0), "mount": (165, 0, 0, 0, 0, 0), "umount2": (166, 0, 0), "pivot_root": (155, 0, 0),
    "ptrace": (101, 16, 1, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "pidfd_getfd": (438, 3, 0, 0), "kcmp": (312, 1, 1, 0, 0, 0),
    "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0), "userfaultfd": (323, 0), "keyctl": (250, 0, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0), "io_uring_setup": (425, 8, 0), "io_uring_enter": (426, 0, 0, 0, 0, 0), "io_uring_register": (427, 0, 0, 0, 0),
    "clone3": (435, 0, 0), "clone_newuser": (56, 0x10000000 | 17, 0, 0, 0, 0), "memfd_create": (319, 0, 0), "open_by_handle_at": (304, 0, 0, 0),
    "init_module": (175, 0, 0, 0), "reboot": (169, 0, 0, 0, 0), "shmget": (29, 0, 4096, 0o1600), "mq_open": (240, 0, 0, 0, 0),
    "fsopen": (430, 0, 0), "move_mount": (429, 0, 0, 0, 0, 0), "personality": (135, 0x40000), "execveat": (322, 0, 0, 0, 0, 0),
}


def run(input_data, context):
    libc = ctypes.CDLL(None, use_errno=True)
    found = {}
    for name, (number, *arguments) in NUMBERS.items():
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
        found[name] = "succeeded" if answer >= 0 else os.strerror(ctypes.get_errno())
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    found["status"] = {key: status[key] for key in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp", "Uid", "Gid")}
    return found

"""What a call left behind goes: processes first, then files."""

import os
import signal
import stat
import time

LEFTOVER_SECONDS = 0.5


class Hygiene:
    def __init__(self, children, temporary_folders):
        self._children = children
        self._folders = temporary_folders
        self._modes = [_mode(folder) for folder in temporary_folders]
        self._first = os.getpid() == 1

    def unknown(self, known):
        """Children that are no call process: orphans of calls."""
        return [pid for pid in self._children.list() if pid not in known]

    def kill_unknown(self, known, wait=True):
        """Kills and reaps them; with `wait` until none is left. True when some are still there after half a second."""
        until = 0.0
        while True:
            unknown = self.unknown(known)
            if not unknown:
                return False
            for pid in unknown:
                _kill(pid)
                _reap(pid)
            if not wait:
                return False
            now = time.monotonic()
            until = until or now + LEFTOVER_SECONDS
            if now > until:
                return True
            time.sleep(0.0005)

    def kill_everything(self):
        """As process 1: all else in the instance dies in one blow. False, and nothing done, when we are not that."""
        if not self._first:
            return False
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return True

    def make(self, folder):
        """An empty folder of our own there, whatever is there now."""
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            _remove(folder)
            try:
                os.mkdir(folder, 0o700)
            except OSError:
                pass
        except OSError:
            pass

    def remove(self, folder):
        _remove(folder)

    def wipe(self):
        """Empties the temporary folders. Only at 0 calls."""
        for folder, mode in zip(self._folders, self._modes):
            try:
                if stat.S_IMODE(os.stat(folder).st_mode) != mode:
                    os.chmod(folder, mode)
                names = os.listdir(folder)
            except OSError:
                continue
            for name in names:
                _remove(f"{folder}/{name}")

    def clear_all(self):
        """Before the runner leaves: no child of ours stays."""
        if not self.kill_everything():
            self.kill_unknown(())
        self.wipe()


def _mode(folder):
    try:
        return stat.S_IMODE(os.stat(folder).st_mode)
    except OSError:
        return 0o700


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _remove(path):
    """Removes a tree without following links. Folders inside are first moved up beside `path`, so depth costs nothing
    and no path grows too long."""
    try:
        os.rmdir(path)
        return
    except OSError:
        pending = [path]
    while pending:
        folder = pending.pop()
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                os.unlink(folder)
                continue
            os.chmod(folder, 0o700)
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            item = f"{folder}/{name}"
            try:
                if stat.S_ISDIR(os.lstat(item).st_mode):
                    moved = f"{path.rpartition('/')[0]}/.gone-{os.urandom(8).hex()}"
                    os.chmod(item, 0o700)
                    os.rename(item, moved)
                    pending.append(moved)
                else:
                    os.unlink(item)
            except OSError:
                continue
        try:
            os.rmdir(folder)
        except OSError:
            continue

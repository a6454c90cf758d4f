"""How pack code is found and loaded: source only. Bytecode files beside it are never read and never written."""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader

MAX_CACHED_FILE_BYTES = 512 * 1024
MAX_CACHED_FILES = 256

BLOCK_MODULE = "rumi_block"


class CodeCache:
    """Code objects by path: compiled ahead in the runner, never run there, inherited by children through fork."""

    def __init__(self):
        self._codes = {}
        self._refused = set()
        self._roots = ()
        self._root_of = {}
        self.compiled = []

    def serve(self, roots):
        self._roots = tuple(root.rstrip("/") + "/" for root in roots if root)

    def covers(self, path):
        return path.startswith(self._roots) if self._roots else False

    def code(self, path):
        """The code of the file at `path`; remembers which paths were not there yet."""
        code = self._codes.get(path)
        if code is None:
            with open(path, "rb") as file:
                source = file.read()
            code = compile(source, path, "exec", dont_inherit=True)
            self.compiled.append(path)
        return code

    def root(self, pack, file):
        """The pack's root folder: the one with `ecosystem.json` nearest above `file`, at most `pack` itself."""
        root = self._root_of.get(file)
        if root is None:
            root = f"{pack}/{file}".rpartition("/")[0]
            while len(root) > len(pack) and not os.path.exists(root + "/ecosystem.json"):
                root = root.rpartition("/")[0]
            if len(self._root_of) < MAX_CACHED_FILES:
                self._root_of[file] = root
        return root

    def wanted(self, paths):
        """Those of `paths`, a claim of pack code, that may be compiled ahead and are not yet."""
        wanted = []
        for path in paths:
            if len(self._codes) + len(self._refused) + len(wanted) >= MAX_CACHED_FILES:
                break
            if type(path) is not str or path in self._codes or path in self._refused or path in wanted:
                continue
            if not self.covers(path) or os.path.normpath(path) != path:
                continue
            try:
                if os.stat(path).st_size <= MAX_CACHED_FILE_BYTES:
                    wanted.append(path)
            except (OSError, ValueError):
                continue
        return wanted

    def put(self, wanted, compiled):
        """Keeps `compiled`, pairs of a path and its code; what is missing of `wanted` is not asked for again. True when something is new."""
        known = len(self._codes)
        for path, code in compiled:
            self._codes[path] = code
        self._refused.update(path for path in wanted if path not in self._codes)
        return len(self._codes) > known


class SourceLoader(SourceFileLoader):
    """Loads a module of a pack from its source text and nothing else."""

    cache = None

    def get_code(self, fullname):
        return self.cache.code(self.path)


def install(cache):
    """Makes imports below the cache's roots go through `SourceLoader`; other folders are as Python has them."""
    SourceLoader.cache = cache

    def hook(path):
        if not cache.covers(path + "/"):
            raise ImportError
        return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceLoader, [".py"]))

    sys.path_hooks.insert(0, hook)


def load_block(cache, pack, file, extra_paths):
    """Runs the file as a module of its own and returns it. Imports: its folder, the pack's root, then `extra_paths`."""
    path = f"{pack}/{file}"
    folder = path.rpartition("/")[0]
    root = cache.root(pack, file)
    sys.path[0:0] = [folder] if folder == root else [folder, root]
    sys.path.extend(extra_paths)
    module = type(sys)(BLOCK_MODULE)
    module.__file__ = path
    sys.modules[BLOCK_MODULE] = module
    exec(cache.code(path), module.__dict__)
    return module

"""How an error of pack code looks outside: type, message of 2 KiB, traceback of 4 KiB, no path of the host."""

import sys

MAX_MESSAGE_BYTES = 2048
MAX_TRACEBACK_BYTES = 4096
_MAX_FRAMES = 40
_RUNNER = __file__.rpartition("/")[0]


class Paths:
    """Names of the instance's folders as a pack author knows them, wherever they really are."""

    def __init__(self, renames):
        self._renames = sorted(((old, new) for old, new in renames if old and old != new), key=lambda pair: -len(pair[0]))

    def clean(self, text):
        for old, new in self._renames:
            text = text.replace(old, new)
        return text


def describe(kind, error, paths):
    """The result header of a call that `error` ended."""
    return {
        "kind": kind,
        "message": clip(paths.clean(_text_of(error)), MAX_MESSAGE_BYTES),
        "exception_type": type(error).__name__[:200],
        "traceback": _clip_start(paths.clean(_traceback(error)), MAX_TRACEBACK_BYTES),
    }


def clip(text, limit):
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def _clip_start(text, limit):
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[-limit:].decode("utf-8", "ignore")


def _text_of(error):
    try:
        return str(error)
    except Exception:
        return f"a {type(error).__name__} that would not turn to text"


def _traceback(error):
    parts = []
    seen = 0
    while error is not None and seen < 4:
        parts.insert(0, _one(error))
        seen += 1
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(parts)


def _one(error):
    lines = ["Traceback (most recent call last):\n"]
    entry = error.__traceback__
    frames = []
    while entry is not None:
        name = entry.tb_frame.f_code.co_filename
        if not name.startswith(_RUNNER) and not name.startswith("<frozen"):
            frames.append((name, entry.tb_lineno, entry.tb_frame.f_code.co_name))
        entry = entry.tb_next
    if len(frames) > _MAX_FRAMES:
        frames = frames[: _MAX_FRAMES // 2] + frames[-_MAX_FRAMES // 2 :]
    for name, line, function in frames:
        lines.append(f'  File "{name}", line {line}, in {function}\n')
        source = _source_line(name, line)
        if source:
            lines.append(f"    {source}\n")
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(f'  File "{error.filename}", line {error.lineno}\n')
    lines.append(f"{type(error).__name__}: {_text_of(error)}\n")
    return "".join(lines)


def _source_line(name, number):
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            for index, line in enumerate(file, 1):
                if index == number:
                    return line.strip()[:200]
    except (OSError, ValueError):
        pass
    return ""


def exit_code(error):
    """The exit status that `sys.exit` asked for."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1

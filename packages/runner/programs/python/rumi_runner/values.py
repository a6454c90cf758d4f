"""What a block returned, as JSON. Anything JSON does not have becomes its nearest form, with a warning."""

import binascii
import json
import sys

MAX_DEPTH = 200
MAX_WARNINGS = 32

_PLAIN = frozenset((str, int, bool, type(None)))
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_encode_escaped = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode


class InvalidOutput(Exception):
    """A value that has no JSON form."""


def to_json(value):
    """`(utf-8 bytes, warnings)` of `value`. Raises InvalidOutput for a cycle, depth over 200, or a value that will not turn to text."""
    warnings = []
    kind = type(value)
    if kind not in _PLAIN:
        value = _convert(value, 1, "result", [], warnings)
    try:
        return _encode(value).encode("utf-8"), warnings
    except UnicodeEncodeError:
        return _encode_escaped(value).encode("ascii"), warnings
    except (ValueError, RecursionError) as error:
        raise InvalidOutput(str(error)) from None


def _warn(warnings, path, text):
    if len(warnings) < MAX_WARNINGS:
        warnings.append(f"{path[:120]}: {text}")


def _convert(value, depth, path, above, warnings):
    """A JSON form of `value`: itself, when nothing in it had to change."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        if value - value == 0.0:
            return value
        _warn(warnings, path, f"{value!r} became null")
        return None
    if kind is dict or isinstance(value, dict):
        return _convert_dict(value, depth, path, above, warnings)
    if kind is list or isinstance(value, list):
        return _convert_items(value, value if kind is list else None, depth, path, above, warnings)
    if isinstance(value, tuple):
        _warn(warnings, path, "a tuple became a list")
        return _convert_items(value, None, depth, path, above, warnings)
    if isinstance(value, (set, frozenset)):
        _warn(warnings, path, "a set became a list")
        try:
            items = sorted(value)
        except TypeError:
            items = list(value)
        return _convert_items(items, None, depth, path, above, warnings)
    if isinstance(value, (bytes, bytearray, memoryview)):
        _warn(warnings, path, "bytes became base64 text")
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    for plain in (str, bool, int):
        if isinstance(value, plain):
            return plain.__str__(value) if plain is str else int(value)
    if isinstance(value, float):
        return _convert(float(value), depth, path, above, warnings)
    return _convert_other(value, kind, path, warnings)


def _convert_dict(value, depth, path, above, warnings):
    _enter(value, depth, above)
    changed = None
    for key, item in value.items():
        if type(item) in _PLAIN and type(key) is str:
            if changed is not None:
                changed[key] = item
            continue
        name = key
        if type(key) is not str:
            name = _key_text(key)
            if not isinstance(key, str):
                _warn(warnings, path, f"key {name[:60]} became text")
        converted = _convert(item, depth + 1, f"{path}.{name}", above, warnings)
        if changed is None and (converted is not item or name is not key):
            changed = {}
            for before, kept in value.items():
                if before is key:
                    break
                changed[before] = kept
        if changed is not None:
            changed[name] = converted
    above.pop()
    return value if changed is None else changed


def _convert_items(value, original, depth, path, above, warnings):
    _enter(value, depth, above)
    changed = None if original is not None else []
    for index, item in enumerate(value):
        if type(item) in _PLAIN:
            if changed is not None:
                changed.append(item)
            continue
        converted = _convert(item, depth + 1, f"{path}[{index}]", above, warnings)
        if changed is None and converted is not item:
            changed = list(value[:index])
        if changed is not None:
            changed.append(converted)
    above.pop()
    return value if changed is None else changed


def _enter(value, depth, above):
    if depth > MAX_DEPTH:
        raise InvalidOutput(f"the result is nested deeper than {MAX_DEPTH}")
    for outer in above:
        if outer is value:
            raise InvalidOutput("the result contains itself")
    above.append(value)


def _key_text(key):
    if key is None:
        return "null"
    if key is True:
        return "true"
    if key is False:
        return "false"
    return _text(key)


def _convert_other(value, kind, path, warnings):
    datetime = sys.modules.get("datetime")
    if datetime is not None and isinstance(value, (datetime.date, datetime.time)):
        _warn(warnings, path, f"a {kind.__name__} became ISO text")
        return value.isoformat()
    _warn(warnings, path, f"a {kind.__name__} became text")
    return _text(value)


def _text(value):
    try:
        return str.__str__(str(value))
    except Exception as error:
        raise InvalidOutput(f"a {type(value).__name__} would not turn to text: {type(error).__name__}") from None

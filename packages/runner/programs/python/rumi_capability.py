"""Host powers for a block: `call(permission_id, args)`, `get_secret(key)`. Nothing here raises."""

import time

from rumi_runner import gateway as _gateway

__all__ = ["call", "get_secret"]


def call(permission_id, args=None, timeout_seconds=30.0, request_id=None):
    """Asks the daemon for `permission_id`. A dict with `success`, `output`, `error`, `error_type`, `latency_ms`."""
    started = time.monotonic()
    request = {"permission_id": permission_id, "args": {} if args is None else args, "timeout_seconds": timeout_seconds}
    if request_id is not None:
        request["request_id"] = request_id
    answer, error_type = _gateway.ask("RUMI_CAPABILITY_SOCKET", request, timeout_seconds)
    if error_type is not None:
        error = _gateway.ERRORS[error_type]
        answer = {
            "success": False,
            "output": {"success": False, "error": error, "error_type": error_type},
            "error": error,
            "error_type": error_type,
        }
    answer.setdefault("success", False)
    answer.setdefault("output", None)
    answer.setdefault("error", None)
    answer.setdefault("error_type", None)
    answer.setdefault("latency_ms", (time.monotonic() - started) * 1000)
    return answer


def get_secret(key):
    """The secret's text, or None when it may not be read or is not there."""
    answer = call("secrets.get", {"key": key})
    output = answer.get("output")
    if answer.get("success") and isinstance(output, dict):
        value = output.get("value")
        return value if isinstance(value, str) else None
    return None

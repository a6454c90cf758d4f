"""HTTP requests for a block, made by the daemon's egress proxy. Nothing here raises."""

import json as _json
import time

from rumi_runner import gateway as _gateway

__all__ = ["http_request", "request", "get", "post", "post_json", "put", "delete", "patch", "head", "network_check"]


class Headers(dict):
    """Answer headers, looked up in any case."""

    def __init__(self, items):
        super().__init__(items)
        self._names = {str(name).lower(): name for name in self}

    def __getitem__(self, name):
        return super().__getitem__(self._names.get(str(name).lower(), name))

    def __contains__(self, name):
        return str(name).lower() in self._names

    def get(self, name, default=None):
        return self[name] if name in self else default


def http_request(method, url, headers=None, body=None, timeout_seconds=30.0, idempotent=False):
    """One HTTP request. A dict with `success`, `status_code`, `headers`, `body`, `error`, `error_type` and facts, all always there."""
    started = time.monotonic()
    message = {"method": method, "url": url, "headers": _headers(headers), "timeout_seconds": timeout_seconds}
    if isinstance(body, (bytes, bytearray)):
        import binascii

        message["body_base64"] = binascii.b2a_base64(body, newline=False).decode("ascii")
    elif body is not None:
        message["body"] = body if isinstance(body, str) else str(body)
    if idempotent:
        message["idempotent"] = True
    answer, error_type = _gateway.ask("RUMI_EGRESS_SOCKET", message, timeout_seconds)
    return _whole(url, started, answer, error_type)


def _headers(headers):
    """As the daemon wants them; what is no mapping goes on as it is, and is refused there."""
    try:
        return dict(headers) if headers else {}
    except (TypeError, ValueError):
        return headers


def _whole(url, started, answer, error_type):
    whole = {
        "success": False,
        "status_code": 0,
        "headers": {},
        "body": "",
        "error": None,
        "error_type": None,
        "latency_ms": (time.monotonic() - started) * 1000,
        "redirect_hops": 0,
        "bytes_read": 0,
        "final_url": url,
    }
    whole.update({"error": _gateway.ERRORS[error_type], "error_type": error_type} if answer is None else answer)
    whole["headers"] = Headers(whole["headers"] if isinstance(whole["headers"], dict) else {})
    return whole


request = http_request


def get(url, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("GET", url, headers, None, timeout_seconds, idempotent)


def post(url, body=None, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("POST", url, headers, body, timeout_seconds, idempotent)


def post_json(url, data, headers=None, timeout_seconds=30.0, idempotent=False):
    try:
        body = _json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _whole(url, time.monotonic(), None, "protocol_error")
    merged = _headers(headers)
    if isinstance(merged, dict) and not any(str(name).lower() == "content-type" for name in merged):
        merged["Content-Type"] = "application/json"
    return http_request("POST", url, merged, body, timeout_seconds, idempotent)


def put(url, body=None, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("PUT", url, headers, body, timeout_seconds, idempotent)


def delete(url, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("DELETE", url, headers, None, timeout_seconds, idempotent)


def patch(url, body=None, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("PATCH", url, headers, body, timeout_seconds, idempotent)


def head(url, headers=None, timeout_seconds=30.0, idempotent=False):
    return http_request("HEAD", url, headers, None, timeout_seconds, idempotent)


def network_check(domain, port):
    """`{"allowed": bool, "reason": str}` for a request to `domain:port`."""
    answer, error_type = _gateway.ask("RUMI_EGRESS_SOCKET", {"type": "check", "domain": domain, "port": port}, 30.0)
    if error_type is not None:
        return {"allowed": False, "reason": _gateway.ERRORS[error_type]}
    return {"allowed": answer.get("allowed") is True, "reason": str(answer.get("reason") or "")}

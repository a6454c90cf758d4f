"""Answers which bytes ran."""


def run(input_data, context):
    return {"bytes": "approved"}

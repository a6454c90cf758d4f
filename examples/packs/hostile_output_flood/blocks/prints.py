"""Prints a given number of bytes in lines."""


def run(input_data, context):
    line = "x" * 1023
    for _ in range(input_data.get("kilobytes") or 5120):
        print(line)
    return {"printed": True}

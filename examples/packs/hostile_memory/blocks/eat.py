"""Takes memory until it is killed, or until it has what it was told to take."""


def run(input_data, context):
    megabytes = input_data.get("megabytes") or 300
    hoard = [bytearray(b"x" * (1 << 20)) for _ in range(megabytes)]
    return {"megabytes": len(hoard)}

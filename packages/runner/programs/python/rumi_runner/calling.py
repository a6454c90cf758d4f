"""The calling conventions: which function of a file is meant, with which arguments, and what its answer may be."""

VARARGS = 0x04

ENTRIES = {
    "block": ("run",),
    "converter": ("convert",),
    "lib": ("run",),
    "component": ("setup", "run", "main"),
    "unit": ("execute", "run", "main"),
    "handler": ("execute", "run"),
    "function": ("run",),
}


def entry_of(module, convention, function):
    """The function to call and the name looked for; `(None, name)` when the file has none."""
    names = (function,) if function else ENTRIES[convention]
    for name in names:
        found = getattr(module, name, None)
        if callable(found):
            return found, name
    return None, " or ".join(names)


def arguments(convention, value, context):
    """All that the convention offers, in order; a function takes as many of them as it names."""
    if convention in ("lib", "component"):
        return (context,)
    if convention in ("handler", "function"):
        return (context, value)
    return (value, context)


def call(function, offered):
    """Calls `function` with as many of `offered` as it takes by position."""
    return function(*offered[: _positional(function, len(offered))])


def _positional(function, most):
    bound = 0
    target = function
    if type(target).__name__ == "method":
        bound = 1
        target = target.__func__
    code = getattr(target, "__code__", None)
    if code is not None and not hasattr(target, "__wrapped__"):
        return most if code.co_flags & VARARGS else min(most, max(0, code.co_argcount - bound))
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return most
    count = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return most
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            count += 1
    return min(most, count)


async def _async():
    yield


def _sync():
    yield


async def _coroutine():
    pass


GENERATOR = type(_sync())
ASYNC_GENERATOR = type(_async())
_made = _coroutine()
COROUTINE = type(_made)
_made.close()


def settle(value, emit):
    """`(value, streaming)`: coroutines awaited, generators drained with each piece given to `emit`."""
    kind = type(value)
    if kind is GENERATOR:
        chunks = [emit(piece) for piece in value]
        return {"chunks": chunks, "is_streaming": True}, True
    if kind is ASYNC_GENERATOR or kind is COROUTINE or hasattr(kind, "__await__"):
        import asyncio

        return asyncio.run(_settle_async(value, emit))
    return value, False


async def _settle_async(value, emit):
    if type(value) is not ASYNC_GENERATOR:
        value = await value
    kind = type(value)
    if kind is ASYNC_GENERATOR:
        chunks = [emit(piece) async for piece in value]
        return {"chunks": chunks, "is_streaming": True}, True
    if kind is GENERATOR:
        return {"chunks": [emit(piece) for piece in value], "is_streaming": True}, True
    return value, False

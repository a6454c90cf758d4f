"""The process that a call runs in. It waits on fd 3, loads the pack only when its call comes, answers on fd 3."""

import json
import os
import sys

from . import calling, failures, gateway, loader, values
from .frames import encode_header, parse_header, read_frame, write_all

RESULT_FD = 3
REHEARSAL_HEADER = b'{"type":"call","call_id":"0","convention":"block","file":"a.py","function":null,"timeout_ms":1,"payload":2}'
REHEARSAL_PAYLOAD = b'{"input":{"name":"World","text":"xxxxxxxxxxxxxxxx"},"context":{"flow_id":"a","step_id":"a","inputs":{"a":1.5}}}'
REHEARSAL_CODE = compile("def run(value, context):\n    return {'message': f'Hello, {value[\"name\"]}!'}\n", "rehearsal", "exec")
OK_HEADER = b'{"kind":"ok"}'


class TooLarge(Exception):
    """The answer is over the call's limit."""


class Worker:
    """One call process; with `reuse` it serves call after call and keeps the modules it loaded."""

    def __init__(self, settings, cache):
        self._settings = settings
        self._cache = cache
        self._modules = {}

    def rehearse(self):
        """Goes through the motions of a call with a made-up one, so that the pages it writes to are this process's own
        before the real one comes. Runs nothing of the pack."""
        header, _ = parse_header(REHEARSAL_HEADER)
        data = json.loads(str(REHEARSAL_PAYLOAD, "utf-8"))
        _add_host_functions(data["context"])
        module = type(sys)(loader.BLOCK_MODULE)
        exec(REHEARSAL_CODE, module.__dict__)
        function, _ = calling.entry_of(module, header["convention"], None)
        offered = calling.arguments(header["convention"], data["input"], data["context"])
        answer, _ = calling.settle(calling.call(function, offered), None)
        text, _ = values.to_json(answer)
        encode_header({"kind": "ok", "payload": len(text)})
        _flush()

    def serve(self):
        """Never returns."""
        status = 0
        try:
            while True:
                request = read_frame(RESULT_FD)
                if request is None:
                    break
                header, payload = request
                del request
                answer = self._answer(header, payload)
                del header, payload
                _flush()
                write_all(RESULT_FD, *answer)
                if not self._settings.reuse:
                    break
        except SystemExit as leaving:
            status = failures.exit_code(leaving)
            _flush()
        except BaseException:
            status = 70
        os._exit(status)

    def _answer(self, header, payload):
        paths = self._settings.paths
        try:
            text = str(payload, "utf-8")
            del payload
            data = json.loads(text)
            del text
        except RecursionError as error:
            return (encode_header(failures.describe("block_error", error, paths)),)
        convention = header["convention"]
        try:
            function, name = self._entry(header, convention)
        except SystemExit:
            raise
        except BaseException as error:
            return (encode_header(self._described("module_load_error", error)),)
        if function is None:
            message = f"{header['file']} has no function {name}"
            return (encode_header(self._loaded({"kind": "no_run_function", "message": message[:500]})),)
        try:
            return self._run(function, header, convention, data)
        except SystemExit:
            raise
        except values.InvalidOutput as error:
            return (encode_header(self._loaded({"kind": "invalid_output", "message": failures.clip(str(error), 2048)})),)
        except TooLarge:
            message = f"the result is over {header['max_result_bytes']} bytes"
            return (encode_header(self._loaded({"kind": "response_too_large", "message": message})),)
        except BaseException as error:
            return (encode_header(self._described("block_error", error)),)

    def _entry(self, header, convention):
        file = header["file"]
        module = self._modules.get(file)
        if module is None:
            module = loader.load_block(self._cache, self._settings.pack, file, self._settings.import_paths)
            self._modules[file] = module
        return calling.entry_of(module, convention, header["function"])

    def _run(self, function, header, convention, data):
        limit = header["max_result_bytes"]
        gateway.call_id = header["call_id"]
        context = data["context"]
        value = data["input"]
        _add_host_functions(context)
        sent = 0

        def emit(piece):
            nonlocal sent
            text, _ = values.to_json(piece)
            sent += len(text)
            if sent > limit:
                raise TooLarge
            write_all(RESULT_FD, encode_header({"kind": "chunk", "payload": len(text)}), text)
            return piece

        offered = calling.arguments(convention, {} if value is None else value, context)
        answer, streaming = calling.settle(calling.call(function, offered), emit)
        text, warnings = values.to_json(answer)
        if len(text) > limit:
            raise TooLarge
        head = {"kind": "ok", "payload": len(text)}
        if streaming:
            head["streaming"] = True
        if warnings:
            head["warnings"] = warnings
        return encode_header(self._loaded(head)), text

    def _described(self, kind, error):
        return self._loaded(failures.describe(kind, error, self._settings.paths))

    def _loaded(self, head):
        """Names the files that had to be compiled here, so that the next process finds them compiled."""
        if self._cache.compiled:
            head["compiled"] = self._cache.compiled[:64]
            self._cache.compiled = []
        return head


def _add_host_functions(context):
    import rumi_syscall

    context["http_request"] = rumi_syscall.http_request
    context["network_check"] = rumi_syscall.network_check


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue

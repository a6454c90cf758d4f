"""Process 1 of a Python instance: it forks call processes, carries bytes between them and the host, ends them, and
clears away what they left. It is single-threaded and never runs a line of the pack."""

import gc
import os
import select
import signal
import sys
import time

from . import calling, child, failures, loader, values  # noqa: F401  (inherited by every child)
from .frames import MAX_HEADER_BYTES, FrameError, FrameReader, FrameWriter, encode_header
from .hygiene import Hygiene
from .kernel import Children, OomKills, OomScore, adopt_orphans, forbid_inspection
from .learner import Learner
from .process import CallProcess
from .settings import PROTOCOL, Settings

TICK = 0.1
# A fork costs the calls in flight their time, so spares are made when there is nothing else to do for this long.
REFILL_AFTER = 0.001
REFILL_AFTER_BUSY = 0.004
# A call that comes so soon after an answer is followed by others: then a spare is made while the call runs, on another processor.
BUSY = 0.002
LOG_DELAY = 0.01
LOG_READ_BYTES = 65536
MAX_LAST_READS = 16
MAX_HOST_BACKLOG = 1024 * 1024
# What a piece counts beside its bytes, so that many small ones cannot flood the host.
CHUNK_COST = 16
MAX_FREE_CHUNKS = 4096
# A dead process's channel holds less than this many reads.
MAX_LAST_FRAMES = 64
READ = select.EPOLLIN
CANCELLED = {"kind": "cancelled", "message": "cancelled"}
TIMEOUT = {"kind": "timeout", "message": "the call did not end by its deadline"}


class Call:
    """One call as the host sent it, and what became of it so far."""

    __slots__ = ("id", "file", "raw", "payload", "deadline", "watch_at", "kill_at", "cancelled", "result_limit", "log_left", "dropped", "chunked")

    def __init__(self, header, raw, payload):
        self.id = header["call_id"]
        self.file = header["file"]
        self.raw = raw
        self.payload = payload
        now = time.monotonic()
        self.deadline = now + header["timeout_ms"] / 1000
        self.watch_at = now + LOG_DELAY
        self.kill_at = None
        self.cancelled = False
        self.result_limit = int(header["max_result_bytes"])
        self.log_left = int(header["max_log_bytes"])
        self.dropped = 0
        self.chunked = 0


class Supervisor:
    def __init__(self, fd_in, fd_out, runner_folder, oom_score, children, oom):
        self._fd_in = fd_in
        self._runner_folder = runner_folder
        self._oom_score = oom_score
        self._children = children
        self._oom = oom
        self._reader = FrameReader(fd_in, self._check_size)
        self._host = FrameWriter(fd_out)
        self._poll = select.epoll()
        self._poll.register(fd_in, select.EPOLLIN)
        self._writable = False
        self._settings = None
        self._cache = loader.CodeCache()
        self._spares = []
        self._calls = {}
        self._waiting = []
        self._handlers = {fd_in: self._on_host}
        self._draining = False
        self._next_tick = 0.0
        self._short = False
        self._answered_at = 0.0
        self._learner = None
        self._relay = None
        self._warnings = []

    def warn(self, text):
        """Told to the host with `ready`."""
        self._warnings.append(text)

    def open_relay(self, environment):
        """Where this instance's libraries are told of a forward proxy, here it is."""
        if "http_proxy" not in environment:
            return
        from .relay import Relay, port_of

        port = port_of(environment)
        if port is None:
            return
        try:
            self._relay = Relay(port, environment.get("RUMI_EGRESS_SOCKET", ""), self._poll, self._handlers)
        except OSError:
            self.warn("the forward proxy could not be opened: only rumi_syscall reaches the network")

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self):
        while True:
            ready = self._poll.poll(self._timeout())
            for fd, events in ready:
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            if self._relay is not None and self._relay.new_turn() == len(ready):
                ready = ()
                if self._relay.wants_clock:
                    self._relay.watch_clock()
            if self._short and not ready:
                self._refill(rehearsed=True)
            if self._learner is not None and time.monotonic() >= self._learner.deadline:
                self._learnt()
            if self._calls or self._waiting:
                self._watch_clock()
            if self._draining and not self._calls and not self._waiting and not self._host.backlog:
                self._leave()

    def _timeout(self):
        if not self._calls:
            waits = self._waiting or self._learner is not None or (self._relay is not None and self._relay.wants_clock)
            return REFILL_AFTER if self._short else TICK if waits else -1
        now = time.monotonic()
        wait = REFILL_AFTER_BUSY if self._short else TICK
        for process in self._calls.values():
            call = process.call
            wait = min(wait, call.deadline - now)
            if not process.logs_watched:
                wait = min(wait, call.watch_at - now)
            if call.kill_at is not None:
                wait = min(wait, call.kill_at - now)
        return max(0.0, wait)

    def _watch_clock(self):
        now = time.monotonic()
        for process in list(self._calls.values()):
            call = process.call
            if call is None:
                continue
            if not process.logs_watched and now >= call.watch_at:
                self._watch_logs(process)
            if call.kill_at is not None and now >= call.kill_at:
                self._end(process, CANCELLED.copy())
            elif now >= call.deadline:
                self._end(process, CANCELLED.copy() if call.cancelled else TIMEOUT.copy())
        for call in [call for call in self._waiting if now >= call.deadline]:
            self._waiting.remove(call)
            self._result(call, TIMEOUT.copy(), None)
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._on_tick()

    def _on_tick(self):
        """Orphans die on sight; a process that died while others hold its fd 3 is found here."""
        self._hygiene.kill_unknown(self._known(), wait=False)
        for process in list(self._calls.values()):
            if process.call is not None and process.ended():
                call = process.call
                for _ in range(MAX_LAST_FRAMES):
                    if process.call is call and process.reader.pending():
                        self._on_process(process, READ)
                if process.call is call:
                    self._on_death(process)
        self._next()

    # -- the host ---------------------------------------------------------------------------------------------------

    def _check_size(self, size):
        if self._settings is None or size > self._settings.max_payload_bytes:
            raise FrameError("a payload is over its limit")

    def _on_host(self, events):
        try:
            if events & select.EPOLLOUT and not self._host.flush():
                self._want_writable(False)
        except OSError:
            self._leave()
        if not events & ~select.EPOLLOUT:
            return
        try:
            frames, is_open = self._reader.read()
            for header, raw, payload in frames:
                self._on_message(header, raw, payload)
        except (FrameError, KeyError, TypeError, ValueError) as error:
            self._fault("protocol_error", str(error))
            return
        except OSError:
            is_open = False
        if not is_open:
            self._leave()

    def _on_message(self, header, raw, payload):
        kind = header.get("type")
        if self._settings is None:
            self._begin(header)
        elif kind == "call":
            self._on_call(Call(header, raw, payload))
        elif kind == "cancel":
            self._on_cancel(header["call_id"])
        elif kind == "ping":
            self._send({"type": "pong", "n": int(header["n"])})
        elif kind == "drain":
            self._draining = True
        else:
            raise FrameError("unknown message")

    def _begin(self, hello):
        settings = Settings(hello, self._runner_folder)
        self._settings = settings
        self._cache.serve(settings.source_roots)
        loader.install(self._cache)
        self._hygiene = Hygiene(self._children, settings.temporary_folders)
        self._reuse = settings.reuse
        version = ".".join(map(str, sys.version_info[:3]))
        ready = {"type": "ready", "protocol": PROTOCOL, "runtime_version": version}
        if self._warnings:
            ready["warnings"] = self._warnings
        self._send(ready)
        self._refill(rehearsed=True)

    def _send(self, header, payload=None):
        try:
            if payload is None:
                kept = self._host.write(encode_header(header))
            else:
                header["payload"] = len(payload)
                kept = self._host.write(encode_header(header), payload)
        except OSError:
            self._leave()
        if kept:
            self._want_writable(True)

    def _want_writable(self, wanted):
        if wanted == self._writable:
            return
        self._writable = wanted
        if self._host.fd == self._fd_in:
            self._poll.modify(self._fd_in, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))
        elif wanted:
            self._handlers[self._host.fd] = lambda _events: self._on_host(select.EPOLLOUT)
            self._poll.register(self._host.fd, select.EPOLLOUT)
        else:
            self._poll.unregister(self._host.fd)
            del self._handlers[self._host.fd]

    def _fault(self, code, message):
        """Says why and leaves: the host removes the instance."""
        os.set_blocking(self._host.fd, True)
        try:
            self._host.flush()
            self._host.write(encode_header({"type": "fault", "code": code, "message": message[:500]}))
        except OSError:
            pass
        self._leave()

    def abandon(self):
        """After a fault of our own: nothing we started may outlive us."""
        sys.excepthook(*sys.exc_info())
        self._leave(70)

    def _leave(self, status=0):
        """Never returns."""
        processes = [*self._calls.values(), *self._spares]
        if self._learner is not None:
            processes.append(self._learner)
        for process in processes:
            process.kill()
        if self._settings is not None:
            self._hygiene.clear_all()
        os._exit(status)

    # -- calls ------------------------------------------------------------------------------------------------------

    def _on_call(self, call):
        if self._draining or call.id in self._calls:
            raise FrameError("a call that may not be")
        if len(self._calls) >= self._settings.slots:
            self._waiting.append(call)
        else:
            self._start(call)

    def _start(self, call):
        while True:
            process = self._spares.pop(0) if self._spares else self._fork(rehearsed=False)
            if process is None:
                if not self._calls:
                    # Nothing of a call is left that could hold it up: it will not get better.
                    self._fault("start_failed", "no process could be started for a call")
                self._waiting.insert(0, call)
                return
            process.call = call
            self._cache.root(self._settings.pack, call.file)
            if process.temporary is not None and not process.prepared:
                self._hygiene.make(process.temporary)
                process.prepared = True
            # Another call may have stopped it.
            process.signal(signal.SIGCONT)
            try:
                kept = process.writer.write(len(call.raw).to_bytes(4, "big"), call.raw, call.payload)
            except OSError:
                process.kill()
                self._drop(process)
                continue
            break
        call.raw = call.payload = None
        self._calls[call.id] = process
        if kept:
            self._poll.modify(process.fd, READ | select.EPOLLOUT)
        if not self._reuse:
            if self._spares and time.monotonic() - self._answered_at > BUSY:
                self._short = True
            else:
                # Forking several at once is cheaper than one at a time: what a fork shares is split again only once.
                self._refill(rehearsed=False)

    def _on_cancel(self, call_id):
        process = self._calls.get(call_id)
        if process is None:
            for call in self._waiting:
                if call.id == call_id:
                    self._waiting.remove(call)
                    self._result(call, CANCELLED.copy(), None)
                    return
            return
        if process.call.cancelled:
            return
        process.call.cancelled = True
        process.call.kill_at = time.monotonic() + self._settings.cancel_grace
        process.signal(signal.SIGTERM)

    def _on_process(self, process, events):
        """Something on a call process's fd 3."""
        call = process.call
        try:
            if events & select.EPOLLOUT and not process.writer.flush():
                self._poll.modify(process.fd, READ)
        except OSError:
            # It will take no more of its call; what it said before still counts.
            self._poll.modify(process.fd, READ)
        if not events & ~select.EPOLLOUT:
            return
        try:
            frames, is_open = process.reader.read()
            for header, _, payload in frames:
                if call is None:
                    raise FrameError("an answer without a call")
                if self._on_answer(process, header, payload):
                    return
        except FrameError as error:
            self._spoilt(process, {"kind": "protocol_error", "message": str(error)})
            return
        except ResultTooLarge:
            self._spoilt(process, {"kind": "response_too_large", "message": f"the result is over {call.result_limit} bytes"})
            return
        except OSError:
            is_open = False
        if not is_open:
            self._on_death(process)

    def _on_answer(self, process, header, payload):
        """True when it was the call's result."""
        call = process.call
        kind = header.get("kind")
        if kind == "chunk":
            if not payload:
                raise FrameError("a piece without bytes")
            call.chunked += len(payload) + CHUNK_COST
            if call.chunked > call.result_limit + CHUNK_COST * MAX_FREE_CHUNKS:
                raise ResultTooLarge
            self._drain_logs(process)
            self._send({"type": "chunk", "call_id": call.id}, payload)
            return False
        if type(kind) is not str or kind not in ANSWERS:
            raise FrameError("an answer of unknown kind")
        if call.cancelled:
            self._end(process, CANCELLED.copy())
            return True
        result = {"kind": kind}
        for name, check in ANSWER_FIELDS:
            value = header.get(name)
            if value is not None and check(value):
                result[name] = value
        compiled = header.get("compiled")
        self._finish(process, result, payload if kind == "ok" else None)
        if type(compiled) is list:
            self._learn(compiled[:64])
        return True

    def _on_death(self, process):
        """The stream of a call process ended, or the process itself did."""
        call = process.call
        process.kill()
        status = process.wait()
        if call is None:
            self._forget(process)
            self._short = True
            return
        self._end(process, CANCELLED.copy() if call.cancelled else death(status, self._oom))

    def _spoilt(self, process, result):
        if process.call is None:
            self._on_death(process)
        else:
            self._end(process, result)

    def _finish(self, process, result, payload):
        """A call that answered: its result goes out first, for nothing of another call can begin before we are done here."""
        call = process.call
        if not self._reuse:
            process.kill()
        self._drain_logs(process)
        del self._calls[call.id]
        self._result(call, result, payload)
        process.call = None
        if self._reuse:
            self._spares.append(process)
            self._hygiene.kill_unknown(self._known(), wait=False)
        else:
            process.wait()
            self._clear(process)
        self._end_relayed()
        self._next()

    def _end(self, process, result):
        """A call that must end now: everything of it is dead before its result goes out."""
        call = process.call
        process.kill()
        process.wait()
        self._drain_logs(process)
        del self._calls[call.id]
        process.call = None
        self._clear(process)
        self._result(call, result, None)
        self._end_relayed()
        self._next()

    def _end_relayed(self):
        if self._relay is not None and not self._calls and not self._relay.idle:
            self._relay.end_all()

    def _result(self, call, result, payload):
        self._answered_at = time.monotonic()
        result["type"] = "result"
        result["call_id"] = call.id
        if call.dropped:
            result["log_dropped"] = call.dropped
        if len(encode_header(result)) > MAX_HEADER_BYTES - HEADER_SLACK:
            for name in WORDY_FIELDS:
                result.pop(name, None)
        self._send(result, payload)

    def _next(self):
        if self._waiting and len(self._calls) < self._settings.slots:
            call = self._waiting.pop(0)
            self._send({"type": "started", "call_id": call.id})
            self._start(call)

    def _clear(self, process):
        """After a process is reaped: nothing it started may live, and with no call in flight nothing it wrote may stay."""
        self._forget(process)
        hygiene = self._hygiene
        known = self._known()
        if hygiene.unknown(known):
            if not self._calls and hygiene.kill_everything():
                for spare in list(self._spares):
                    self._drop(spare)
                if self._learner is not None:
                    self._learnt()
                known = self._known()
            if hygiene.kill_unknown(known):
                self._fault("leftovers", "processes of a call could not be ended")
        if not self._calls:
            hygiene.wipe()
        elif process.prepared:
            hygiene.remove(process.temporary)
        self._short = True

    # -- call processes ---------------------------------------------------------------------------------------------

    def _known(self):
        known = {process.pid for process in self._spares}
        known.update(process.pid for process in self._calls.values())
        if self._learner is not None:
            known.add(self._learner.pid)
        return known

    def _refill(self, rehearsed):
        self._short = False
        while len(self._spares) + (len(self._calls) if self._reuse else 0) < self._settings.spares:
            process = self._fork(rehearsed)
            if process is None:
                return
            self._spares.append(process)

    def _fork(self, rehearsed):
        """A new call process, or None when the instance has no room for one now."""
        self._oom_score.raise_()
        try:
            process = CallProcess.fork(self._settings, self._cache, rehearsed)
        except OSError:
            return None
        finally:
            self._oom_score.restore()
        process.reader = FrameReader(process.fd, lambda size: self._check_answer(process, size))
        process.writer = FrameWriter(process.fd)
        self._handlers[process.fd] = lambda events: self._on_process(process, events)
        self._poll.register(process.fd, READ)
        return process

    def _watch_logs(self, process):
        """Only for calls that take a while: what a short one printed is read at its end."""
        process.logs_watched = True
        self._handlers[process.out] = lambda _events: self._on_log(process, "stdout", process.out)
        self._handlers[process.err] = lambda _events: self._on_log(process, "stderr", process.err)
        self._poll.register(process.out, READ)
        self._poll.register(process.err, READ)

    def _check_answer(self, process, size):
        if process.call is None:
            raise FrameError("an answer without a call")
        if size > process.call.result_limit:
            raise ResultTooLarge

    def _drop(self, process):
        process.wait()
        process.call = None
        self._forget(process)

    def _forget(self, process):
        if process in self._spares:
            self._spares.remove(process)
        for fd in process.fds():
            self._unwatch(fd)
        process.close()

    def _unwatch(self, fd):
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _learn(self, paths):
        """Has compiled what the call had to compile. Sources may be made to take for ever: never done in this process."""
        if self._reuse or self._learner is not None:
            return
        wanted = self._cache.wanted(paths)
        if not wanted:
            return
        self._oom_score.raise_()
        try:
            self._learner = Learner.fork(wanted)
        except OSError:
            return
        finally:
            self._oom_score.restore()
        self._handlers[self._learner.fd] = lambda _events: self._on_learner()
        self._poll.register(self._learner.fd, READ)

    def _on_learner(self):
        if self._learner.read():
            self._learnt()

    def _learnt(self):
        """Takes what was compiled and replaces the spares by ones that have it."""
        learner = self._learner
        self._learner = None
        self._unwatch(learner.fd)
        if not self._cache.put(learner.wanted, learner.finish()):
            return
        gc.freeze()
        for process in list(self._spares):
            process.kill()
            self._drop(process)
        self._short = True

    # -- logs -------------------------------------------------------------------------------------------------------

    def _on_log(self, process, stream, fd):
        if self._relay_log(process, stream, fd) == b"":
            self._unwatch(fd)

    def _drain_logs(self, process):
        for stream, fd in (("stdout", process.out), ("stderr", process.err)):
            for _ in range(MAX_LAST_READS):
                if not self._relay_log(process, stream, fd):
                    break

    def _relay_log(self, process, stream, fd):
        """What was read and passed on; None when there is nothing now, empty when there will be nothing more."""
        try:
            data = os.read(fd, LOG_READ_BYTES)
        except BlockingIOError:
            return None
        call = process.call
        if call is None or not data:
            return data
        kept = data[: call.log_left] if self._host.backlog <= MAX_HOST_BACKLOG else b""
        call.dropped += len(data) - len(kept)
        if kept:
            call.log_left -= len(kept)
            self._send({"type": "log", "call_id": call.id, "stream": stream}, kept)
        return data


class ResultTooLarge(Exception):
    pass


ANSWERS = frozenset(("ok", "block_error", "module_load_error", "no_run_function", "invalid_output", "response_too_large"))


def _is_text(value):
    return type(value) is str and len(value) <= 16384


def _is_texts(value):
    return type(value) is list and len(value) <= values.MAX_WARNINGS and all(type(item) is str and len(item) <= 1000 for item in value)


# Dropped when a header would grow too long with them: escaped, a text may take twelve times its length.
WORDY_FIELDS = ("warnings", "traceback", "message", "exception_type")
HEADER_SLACK = 256

ANSWER_FIELDS = (
    ("message", _is_text),
    ("exception_type", _is_text),
    ("traceback", _is_text),
    ("warnings", _is_texts),
    ("streaming", lambda value: value is True),
)


def death(status, oom):
    """The result of a call whose process died before it answered."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return {"kind": "crashed", "exit_code": code, "message": f"the block's process ended with code {code} before it answered"}
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    if -code == signal.SIGKILL and oom.grew():
        return {"kind": "oom_killed", "signal": name, "message": "the block used more memory than its instance has"}
    return {"kind": "crashed", "signal": name, "message": f"the block's process was ended by {name} before it answered"}


def connect(arguments):
    """The two ends to the host: both the same socket, or fds 0 and 1 with `--stdio`."""
    if arguments[:1] == ["--stdio"]:
        return os.dup(0), os.dup(1)
    import _socket

    host = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    host.connect(arguments[0])
    fd = host.detach()
    return fd, fd


def main(arguments):
    gc.disable()
    oom_score = OomScore()
    safe = forbid_inspection()
    adopt_orphans()
    fd_in, fd_out = connect(arguments)
    os.set_blocking(fd_in, False)
    os.set_blocking(fd_out, False)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import rumi_capability  # noqa: F401  (children find it loaded)
    import rumi_syscall  # noqa: F401

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    children = Children()
    folder = __file__.rpartition("/rumi_runner/")[0]
    supervisor = Supervisor(fd_in, fd_out, folder, oom_score, children, OomKills(os.getpid() == 1))
    supervisor.open_relay(os.environ)
    if not safe:
        supervisor.warn("the runner could not make itself non-dumpable")
    if not children.known:
        supervisor.warn("the kernel does not list children: leftovers of a call may go unseen")
    gc.collect()
    gc.freeze()
    try:
        supervisor.run()
    finally:
        supervisor.abandon()

"""One process of an isolated source as the gateway sees it: started, asked, watched, ended."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import Any, Final

import structlog
from typing_extensions import override

from trunkline.config.secrets import REDACTED, redact_text
from trunkline.config.tags import Resources
from trunkline.gateway.isolation.limits import Group, Meter, Use, delegated
from trunkline.gateway.isolation.messages import OUT_OF_MEMORY, Answer, BadFrame, Beat, Call, Frames, Verdict, decode_answer, frame
from trunkline.model.errors import SourceUnavailable

log = structlog.get_logger("trunkline.gateway")

#: A look at the process is taken so often, in seconds. Silence is counted in looks: while the gateway itself hangs nobody is blamed.
LOOK_SECONDS: Final = 1.0
#: Looks without a sign of life, while a call is due, after which a process hangs; and until it has made its source, which it imports first.
HANGING: Final = 10
STARTING: Final = 60
_LAST_LINES: Final = 6
_CRASH: Final = "Fatal Python error"
_LINE_CHARACTERS: Final = 2_000
#: Log lines that a process may write in one look; more are counted only.
_LINES_PER_LOOK: Final = 50
#: Seconds for closing its source when it is told to end, and for exiting once it has closed the socket.
_END_SECONDS: Final = 6.0
_EXIT_SECONDS: Final = 2.0
_MODULE: Final = "trunkline.gateway.isolation.child"


class ProcessGone(SourceUnavailable):
    """The process ended, or had to be ended; the text says how, with its last words."""


class ChildProcess(asyncio.Protocol):
    """A process and the socket to it. It is used by one event loop.

    Args:
        source: id of the source, for its log lines.
        resources: what it may use.

    Attributes:
        started: whether it has made its source.
        lived: seconds from its start to its end; 0 until then.
    """

    def __init__(self, source: str, resources: Resources) -> None:
        self._source = source
        self._resources = resources
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._gone: ProcessGone | None = None
        self._why = ""
        self._quiet_looks = 0
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._crashed = False
        self._lines = 0
        self._hidden: tuple[str, ...] = ()
        self._group: Group | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._meter: Meter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self.started = False
        self.lived = 0.0
        self._born = 0.0

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._popen.pid if self._popen is not None else 0

    @property
    def use(self) -> Use:
        """What it used at the last look."""
        return self._meter.use if self._meter is not None else Use()

    @property
    def gone(self) -> ProcessGone | None:
        """Why it is gone; None while it runs."""
        return self._gone

    @property
    def held(self) -> bool:
        """Whether the kernel keeps it within its limits."""
        return self._group is not None

    async def start(self) -> None:
        """Start the process. Raises SourceUnavailable when the system cannot."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            command = [sys.executable, "-m", _MODULE, str(theirs.fileno()), str(os.getpid())]
            # started by the loop's own thread: the kernel ends the process when that thread is gone (prctl(2))
            self._popen = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the program is loaded
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            ours.close()
            raise SourceUnavailable(f"no process for source {self._source} can be started: {error}") from error
        finally:
            theirs.close()
        self._born = asyncio.get_running_loop().time()
        self._confine()
        self._meter = Meter(self.pid, self._resources, held=self.held)
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._follow_output())]
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    def _confine(self) -> None:
        parent = delegated() if self._resources != Resources() else None
        if parent is None:
            return
        try:
            self._group = Group(parent, self._source, self._resources, self.pid)
        except OSError as error:
            log.warning("no control group for a source; the gateway watches it itself", source=self._source, error=str(error))

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        """Take answers and signs of life."""
        self._quiet_looks = 0
        try:
            answers = [decode_answer(body) for body in self._frames.feed(data)]
        except BadFrame as error:
            self.kill(f"what it says cannot be understood: {error}")
            return
        for answer in answers:
            if not isinstance(answer, Beat):
                waiting = self._waiting.pop(answer.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """The process closed its end: it has ended, or is about to."""
        del exc
        self._tasks.append(asyncio.create_task(self._reap()))

    def number(self) -> int:
        """Return the number of the next call."""
        return next(self._numbers)

    def hide(self, secrets: tuple[str, ...]) -> None:
        """Keep these values out of what the process says."""
        self._hidden = tuple(sorted((one for one in secrets if len(one) >= 4), key=len, reverse=True))

    def ask(self, call: Call) -> "asyncio.Future[Answer]":
        """Send a call; the future brings its answer, or ProcessGone."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._gone is not None or self._transport is None:
            future.set_exception(self._gone or ProcessGone("the process has not been started"))
            future.exception()  # marks it as seen: there may be nobody waiting
            return future
        assert not isinstance(call, Verdict)
        if not self._waiting:
            self._quiet_looks = 0
        self._waiting[call.number] = future
        self._transport.write(frame(call))
        return future

    def tell(self, verdict: Verdict) -> None:
        """Send what is not answered."""
        if self._gone is None and self._transport is not None:
            self._transport.write(frame(verdict))

    def kill(self, why: str) -> None:
        """End it at once; whoever waits for an answer hears why."""
        self._why = self._why or why
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Let it close its source and go; after a while it is killed."""
        if self._popen is None:
            return
        if not self.started:
            self.kill("it had not made its source yet when it was told to end")
        elif self._transport is not None and self._gone is None:
            self._transport.write_eof()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            self.kill("it did not end when it was told to")
            await self._ended.wait()

    async def _reap(self) -> None:
        """Wait until the process is gone, and tell everybody who waits for it."""
        popen = self._popen
        assert popen is not None
        try:
            await asyncio.to_thread(popen.wait, _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("it closed its connection to the gateway and went on")
            await asyncio.to_thread(popen.wait)
        watching, following = self._tasks[:2]
        watching.cancel()
        await asyncio.wait((following,), timeout=1.0)
        following.cancel()
        self.lived = asyncio.get_running_loop().time() - self._born
        self._gone = ProcessGone(self._obituary(popen.returncode))
        if self._group is not None:
            self._group.remove()
        if self._transport is not None:
            self._transport.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._gone)
                waiting.exception()
        self._waiting.clear()
        self._ended.set()

    def _obituary(self, code: int) -> str:
        if self._group is not None and self._group.out_of_memory():
            how = "the kernel ended it: it wanted more memory than 'resources.memory' allows"
        elif self._why:
            how = f"the gateway ended it: {self._why}"
        elif code < 0:
            how = f"it was ended by {_signal_name(-code)}"
        elif code == OUT_OF_MEMORY:
            how = "it ended itself: it wanted more memory than 'resources.memory' allows"
        else:
            how = f"it ended with exit status {code}"
        words = f"; its last words: {' | '.join(self._last)}" if self._last else ""
        return redact_text(f"process {self.pid} of source {self._source}: {how}{words}")

    def _discreet(self, text: str) -> str:
        """Return a line of the process without the secrets that it was given."""
        for secret in self._hidden:
            text = text.replace(secret, REDACTED)
        return text

    async def _watch(self) -> None:
        """Look at the process again and again."""
        loop = asyncio.get_running_loop()
        assert self._meter is not None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._lines > _LINES_PER_LOOK:
                log.warning("log lines of a source were left out", source=self._source, lines=self._lines - _LINES_PER_LOOK)
            self._lines = 0
            too_much = self._meter.look(loop.time())
            if too_much:
                self.kill(too_much)
            self._quiet_looks += 1
            patience = HANGING if self.started else STARTING
            if self._waiting and self._quiet_looks > patience:
                self.kill(f"it gave no sign of life for {patience * LOOK_SECONDS:.0f} s while the gateway waited for it")

    async def _follow_output(self) -> None:
        """Put the process's log lines into the gateway's log."""
        assert self._popen is not None
        assert self._popen.stdout is not None
        reader = asyncio.StreamReader(limit=2**16)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._popen.stdout)
        try:
            while line := await _line(reader):
                self._lines += 1
                text = self._discreet(line.decode(errors="replace").strip())[:_LINE_CHARACTERS]
                words = _words(text)
                if text:
                    self._remember(str(words.get("event", text)))
                if text and self._lines <= _LINES_PER_LOOK:
                    self._log(words)
        finally:
            transport.close()

    def _remember(self, text: str) -> None:
        """Keep the last lines; of the interpreter's own word on a crash the first, where the innermost calls stand (faulthandler)."""
        if text.startswith(_CRASH):
            self._last.clear()
            self._crashed = True
        if not (self._crashed and len(self._last) == _LAST_LINES):
            self._last.append(text)

    def _log(self, words: dict[str, Any]) -> None:
        level = str(words.pop("level", "warning"))
        event = str(words.pop("event", ""))
        words.pop("logger", None)
        words.pop("source", None)
        write = {"debug": log.debug, "info": log.info, "error": log.error, "critical": log.critical}.get(level, log.warning)
        write(event, source=self._source, process=self.pid, **words)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line, cut where it is too long; b'' at the end."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as rest:
        return rest.partial
    except asyncio.LimitOverrunError as over:
        return await reader.readexactly(over.consumed)


def _words(text: str) -> dict[str, Any]:
    """Return a log line as what it says; what a library or the interpreter wrote is a warning of that text."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and all(isinstance(key, str) for key in found):
        return found
    return {"level": "warning", "event": text}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

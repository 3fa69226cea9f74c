"""One child of an isolated source, a process or a container, as the gateway sees it: started, asked, watched, ended."""

import asyncio
import itertools
import json
import signal
import subprocess
from collections import deque
from typing import IO, Any, Final

import structlog
from typing_extensions import override

from trunkline.config.secrets import REDACTED, redact_text
from trunkline.gateway.isolation.limits import Use
from trunkline.gateway.isolation.messages import OUT_OF_MEMORY, Answer, BadFrame, Beat, Call, Frames, Verdict, decode_answer, frame
from trunkline.gateway.isolation.runner import Runner
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


class ProcessGone(SourceUnavailable):
    """The process ended, or had to be ended; the text says how, with its last words."""


class ChildProcess(asyncio.Protocol):
    """A child and the socket to it. It is used by one event loop.

    Args:
        source: id of the source, for its log lines.
        runner: starts, measures and kills it.

    Attributes:
        started: whether it has made its source.
        lived: seconds from its start to its end; 0 until then.
    """

    def __init__(self, source: str, runner: Runner) -> None:
        self._source = source
        self._runner = runner
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
        self._beat = Beat()
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self.started = False
        self.lived = 0.0
        self._born = 0.0

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._runner.pid

    @property
    def use(self) -> Use:
        """What it used at the last look."""
        return self._runner.use

    @property
    def gone(self) -> ProcessGone | None:
        """Why it is gone; None while it runs."""
        return self._gone

    async def start(self) -> None:
        """Start the process. Raises SourceUnavailable when the system cannot."""
        line, output = await self._runner.start()
        line.setblocking(False)
        self._born = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._follow(output))]
        await asyncio.get_running_loop().create_connection(lambda: self, sock=line)

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
            if isinstance(answer, Beat):
                self._beat = answer
            else:
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
        self._runner.kill()

    async def end(self) -> None:
        """Let it close its source and go; after a while it is killed."""
        if not self.pid:
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
        try:
            code = await asyncio.to_thread(self._runner.wait, _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("it closed its connection to the gateway and went on")
            code = await asyncio.to_thread(self._runner.wait, None)
        watching, following = self._tasks[:2]
        watching.cancel()
        await asyncio.wait((following,), timeout=1.0)
        following.cancel()
        self.lived = asyncio.get_running_loop().time() - self._born
        self._gone = ProcessGone(self._obituary(code))
        self._runner.clear()
        if self._transport is not None:
            self._transport.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._gone)
                waiting.exception()
        self._waiting.clear()
        self._ended.set()

    def _obituary(self, code: int) -> str:
        if cause := self._runner.cause(code, tuple(self._last)):
            how = cause
        elif self._why:
            how = f"the gateway ended it: {self._why}"
        elif code < 0:
            how = f"it was ended by {_signal_name(-code)}"
        elif code == OUT_OF_MEMORY:
            how = "it ended itself: it wanted more memory than 'resources.memory' allows"
        else:
            how = f"it ended with exit status {code}"
        words = f"; its last words: {' | '.join(self._last)}" if self._last else ""
        return redact_text(f"{self._runner.title} of source {self._source}: {how}{words}")

    def _discreet(self, text: str) -> str:
        """Return a line of the process without the secrets that it was given."""
        for secret in self._hidden:
            text = text.replace(secret, REDACTED)
        return text

    async def _watch(self) -> None:
        """Look at the process again and again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._lines > _LINES_PER_LOOK:
                log.warning("log lines of a source were left out", source=self._source, lines=self._lines - _LINES_PER_LOOK)
            self._lines = 0
            too_much = self._runner.look(loop.time(), self._beat)
            if too_much:
                self.kill(too_much)
            self._quiet_looks += 1
            patience = HANGING if self.started else STARTING + self._runner.fetching
            if self._waiting and self._quiet_looks > patience:
                self.kill(f"it gave no sign of life for {patience * LOOK_SECONDS:.0f} s while the gateway waited for it")

    async def _follow(self, output: IO[bytes]) -> None:
        """Put the process's log lines into the gateway's log."""
        reader = asyncio.StreamReader(limit=2**16)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), output)
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

"""An isolated source as the gateway's runner knows it: the source port, with a process or a container behind it."""

import asyncio
from typing import Final, TypeVar

from trunkline.config.secrets import references, texts
from trunkline.config.tags import SourceConfig
from trunkline.gateway.isolation.batches import Unpacker
from trunkline.gateway.isolation.limits import NICENESS, RESERVED
from trunkline.gateway.isolation.messages import (
    Answer,
    BadFrame,
    Brought,
    Browse,
    Browsed,
    Call,
    Close,
    Connect,
    Done,
    Failed,
    Read,
    Start,
    Verdict,
    Write,
    Written,
)
from trunkline.gateway.isolation.process import ChildProcess, ProcessGone
from trunkline.gateway.isolation.runner import Runner, runner_for
from trunkline.ledger.status import ProcessStatus
from trunkline.model import times
from trunkline.model.errors import Misconfigured, SourceMisconfigured, SourceUnavailable
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand

#: Seconds until a process that ended by itself is started again: doubles up to the limit, and is forgotten once one lived for so long.
FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 30.0
SOUND_SECONDS: Final = 60.0
#: Longest time for which a start keeps others waiting for theirs.
STARTING_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0

_Answered = TypeVar("_Answered", bound=Answer)


class SourceDefect(RuntimeError):
    """The plugin raised what the port does not know; its traceback is in the log."""


class IsolatedSource:
    """The source port (`trunkline.sources.port.Source`) over a child of its own. See docs/how-to/isolate-sources.md for what it promises.

    Args:
        config: the source's section.
        context: its surroundings; secrets are resolved here, at every connection, and handed over the socket.
        starting: held while a process starts, so that many do not start at once.
    """

    def __init__(self, config: SourceConfig, context: SourceContext, starting: asyncio.Semaphore | None = None) -> None:
        self._config = config
        self._context = context
        self._starting = starting or asyncio.Semaphore()
        self._child: ChildProcess | None = None
        self._unpacker = Unpacker()
        self._reading: asyncio.Future[Answer] | None = None
        self._pause = 0.0
        self.starts = 0

    async def connect(self) -> None:
        """Connect the source in its process, which is started if it does not run."""
        child = await self._running()
        self._forget_reading()
        secrets, unresolved = self._secrets()
        child.hide(tuple(secrets.values()))
        await self._call(child, Connect(child.number(), self._offset(), secrets, unresolved, self._context.checkpoint()), Done)

    async def read(self) -> ReadBatch:
        """Wait for what the source reads. A read that is cancelled goes on in the process: the next one takes up its answer."""
        child = self._alive()
        if self._reading is None:
            self._reading = child.ask(Read(child.number(), self._offset()))
        reading = self._reading
        await asyncio.wait((reading,))
        self._forget_reading()
        brought = self._judge(reading.result(), Brought)
        try:
            batch = self._unpacker.unpack(brought)
        except BadFrame as error:
            child.kill(str(error))
            raise SourceUnavailable(f"source {self._config.id}: {error}") from error
        if brought.batch:
            number = brought.batch

            async def ack() -> None:
                child.tell(Verdict(number, None))

            async def nack(why: str) -> None:
                child.tell(Verdict(number, why))

            batch.ack, batch.nack = ack, nack
        return batch

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Write one value. If the process ends meanwhile nobody knows what the device did: UNKNOWN."""
        child = self._alive()
        call = Write(child.number(), self._offset(), command.tag, command.value)
        try:
            return CommandOutcome((await self._call(child, call, Written)).outcome)
        except ProcessGone:
            return CommandOutcome.UNKNOWN

    async def browse(self, at: str) -> list[BrowseNode]:
        """List what is below `at`."""
        child = self._alive()
        found = await self._call(child, Browse(child.number(), self._offset(), at), Browsed)
        return [BrowseNode(*node) for node in found.nodes]

    async def close(self) -> None:
        """Have the source let go of the device; the process stays, ready to connect again. One that cannot close is ended."""
        child = self._child
        self._forget_reading()
        if child is None or child.gone is not None or not child.started:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._call(child, Close(child.number()), Done)
        except (TimeoutError, SourceDefect) as error:
            child.kill(f"it could not close its source: {str(error) or 'no answer'}")
        except SourceUnavailable:
            return  # the process is gone, and everything it had with it

    async def end(self) -> None:
        """End the process in order. The source can be connected again, in a new one."""
        child, self._child = self._child, None
        self._forget_reading()
        if child is not None:
            await child.end()

    def status(self) -> ProcessStatus | None:
        """Return what is known of the process; None while there is none."""
        child = self._child
        if child is None or child.gone is not None or not child.pid:
            return None
        return ProcessStatus(child.pid, child.use.rss_bytes, round(child.use.cpu, 3), max(0, self.starts - 1))

    async def _running(self) -> ChildProcess:
        """Return the process, with its source made."""
        child = self._child
        if child is not None and child.gone is None and child.started:
            return child
        if child is not None:
            await child.end()
            self._child = None
            self._pause = 0.0 if child.lived > SOUND_SECONDS else min(max(2 * self._pause, FIRST_PAUSE), LAST_PAUSE)
        await asyncio.sleep(self._pause)
        return await self._start()

    async def _start(self) -> ChildProcess:
        config = self._config
        runner = runner_for(config, self._context.gateway, self._context.directory)
        child = self._child = ChildProcess(config.id, runner)
        self._unpacker = Unpacker()
        await runner.prepare()
        async with self._starting:
            await child.start()
            self.starts += 1
            made = child.ask(self._order(child, runner))
            # one that hangs while it starts must not keep the others from starting
            await asyncio.wait((made,), timeout=STARTING_SECONDS)
        try:
            self._judge(await made, Done)
        except (SourceMisconfigured, SourceDefect):
            await child.end()
            raise
        child.started = True
        return child

    def _order(self, child: ChildProcess, runner: Runner) -> Start:
        """Return the call that makes the source."""
        config = self._config
        memory = config.resources.memory
        limit = memory + RESERVED if memory is not None and not runner.held else 0
        niceness = NICENESS if config.resources.cpu is not None and not runner.held else 0
        section = config.model_dump_json(exclude_unset=True, by_alias=True).encode()
        return Start(child.number(), config.type, section, self._context.gateway, runner.folder, limit, niceness)

    def _alive(self) -> ChildProcess:
        child = self._child
        if child is None:
            raise SourceUnavailable(f"source {self._config.id} is not connected")
        if child.gone is not None:
            raise SourceUnavailable(str(child.gone))
        return child

    async def _call(self, child: ChildProcess, call: Call, wanted: type[_Answered]) -> _Answered:
        return self._judge(await child.ask(call), wanted)

    def _judge(self, answer: Answer, wanted: type[_Answered]) -> _Answered:
        """Return the answer. Raises what the source raised."""
        if isinstance(answer, Failed):
            match answer.kind:
                case "unavailable":
                    raise SourceUnavailable(answer.text)
                case "misconfigured":
                    raise SourceMisconfigured(answer.text)
                case "impossible":
                    raise NotImplementedError(answer.text)
                case _:
                    raise SourceDefect(answer.text)
        if not isinstance(answer, wanted):
            raise SourceUnavailable(f"source {self._config.id}: its process gave an answer of another kind")
        return answer

    def _forget_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and not reading.done():
            reading.add_done_callback(_seen)

    def _offset(self) -> int:
        """Return by how much the gateway's clock is ahead of the system's, which the process reads: 0 unless somebody turned it."""
        now = self._context.now
        return 0 if now is times.now else now() - times.now()

    def _secrets(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the value of every reference in the section; and of those that have none, why."""
        found: dict[str, str] = {}
        missing: dict[str, str] = {}
        for _, text in texts(self._config.model_dump(mode="json", exclude_unset=True)):
            for reference in references(text):
                try:
                    found[reference] = self._context.resolve_secret(reference)
                except Misconfigured as error:
                    missing[reference] = str(error)
        return found, missing


def _seen(reading: "asyncio.Future[Answer]") -> None:
    """Look at how a read ended that nobody waits for any more."""
    if not reading.cancelled():
        reading.exception()

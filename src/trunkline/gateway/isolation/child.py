"""The process of one isolated source: `python -m trunkline.gateway.isolation.child`, started by a gateway only (`runner.py`).

With `DESCRIPTOR PARENT` it is a process beside the gateway and speaks over that socket, with `stdio VERSION` it is in a container and
speaks over standard input and output; what it prints then goes to standard error.

It makes the plugin's source and does what the gateway asks for. It never sees the journal. When the gateway is gone, the kernel ends it
(prctl(2), PR_SET_PDEATHSIG), or the end of the line does. SIGTERM is left to the gateway: it closes sources in order.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import structlog

from trunkline.config.secrets import SecretUnavailable, references
from trunkline.gateway.isolation import childlog
from trunkline.gateway.isolation.batches import Packer
from trunkline.gateway.isolation.limits import used_by
from trunkline.gateway.isolation.messages import (
    OUT_OF_MEMORY,
    VERSION,
    Answer,
    Beat,
    Browse,
    Browsed,
    Call,
    Close,
    Connect,
    Done,
    Failed,
    Frames,
    Read,
    Start,
    Verdict,
    Write,
    Written,
    decode_call,
    frame,
)
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater, SourceUnavailable
from trunkline.sources.port import ReadBatch, Source, SourceContext, WriteCommand, plugin

log = structlog.get_logger("trunkline.source")

BEAT_SECONDS: Final = 1.0
#: Batches that may wait for their verdict; of one given up without a word, the device was told nothing, so it keeps it.
_BATCHES: Final = 1_000
_PR_SET_PDEATHSIG: Final = 1
_CLOSE_SECONDS: Final = 5.0


class Host(asyncio.Protocol):
    """Does what the gateway asks for."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._frames = Frames()
        self._packer = Packer()
        self._transport: asyncio.WriteTransport | None = None
        self._source: Source | None = None
        self._offset = 0
        self._secrets: dict[str, str] = {}
        self._unresolved: dict[str, str] = {}
        self._checkpoint: str | None = None  # the last one that is durable
        self._reaching: set[asyncio.Task[None]] = set()  # connections and reads under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches: dict[int, ReadBatch] = {}
        self._next_batch = 0
        self._broken = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line to the gateway is open; of two pipes one can be written to."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway is gone, or wants this process to go."""
        del exc
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        """Begin what is asked for."""
        for body in self._frames.feed(data):
            call = decode_call(body)
            if isinstance(call, Connect | Read | Write | Browse):
                self._offset = call.offset  # at once: what arrives from now on is stamped with the clock as it is now
            task = asyncio.create_task(self._verdict(call) if isinstance(call, Verdict) else self._answer(call))
            if isinstance(call, Connect | Read):
                self._reaching.add(task)
                task.add_done_callback(self._reaching.discard)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def beat(self) -> None:
        """Say again and again that the event loop turns."""
        while True:
            self._send(Beat(*used_by()))
            await asyncio.sleep(BEAT_SECONDS)

    async def close(self) -> None:
        """Let go of the device."""
        if self._source is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._source.close()

    def _send(self, answer: Answer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(answer))

    async def _answer(self, call: Call) -> None:
        number = 0 if isinstance(call, Verdict) else call.number
        try:
            answer = await self._do(call)
        except MemoryError:
            _out_of_memory()
        except asyncio.CancelledError:
            self._send(Failed(number, "unavailable", "given up: the gateway closed the source, or connects it again"))
            raise
        except Misconfigured as error:
            answer = Failed(number, "misconfigured", str(error))
        except RetryLater as error:
            answer = Failed(number, "unavailable", str(error))
        except NotImplementedError as error:
            answer = Failed(number, "impossible", str(error))
        except Exception as error:
            log.exception("the source failed")
            answer = Failed(number, "defect", f"{type(error).__name__}: {error}")
        self._send(answer)

    async def _do(self, call: Call) -> Answer:
        match call:
            case Start():
                self._start(call)
                return Done(call.number)
            case Close():
                await self._stop_reaching()
                await self._made().close()
                return Done(call.number)
            case Connect():
                await self._stop_reaching()
                self._secrets, self._unresolved, self._checkpoint = call.secrets, call.unresolved, call.checkpoint
                self._broken = ""
                await self._made().connect()
                return Done(call.number)
            case Read():
                return self._pack(call.number, await self._read())
            case Write():
                outcome = await self._made().write(WriteCommand(call.path, call.value))
                return Written(call.number, outcome.value)
            case Browse():
                nodes = await self._made().browse(call.at)
                return Browsed(call.number, [(node.address, node.name, node.kind, node.branch) for node in nodes])
            case Verdict():
                raise AssertionError("a verdict is not answered")

    def _start(self, call: Start) -> None:
        """Take the limits upon us, then import the plugin and make the source."""
        if call.niceness:
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + call.niceness)
        if call.data_limit:
            resource.setrlimit(resource.RLIMIT_DATA, (call.data_limit, call.data_limit))
        found = plugin(call.plugin)
        config = found.config.model_validate(msgspec.json.decode(call.section))
        context = SourceContext(call.gateway, Path(call.directory), self._now, self._resolve, lambda: self._checkpoint)
        self._source = found.create(config, context)

    async def _stop_reaching(self) -> None:
        """End connections and reads under way, as the runner ends them before it closes a source or connects it again."""
        others = self._reaching - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_CLOSE_SECONDS)

    async def _read(self) -> ReadBatch:
        if self._broken:
            raise SourceUnavailable(self._broken)
        return await self._made().read()

    def _pack(self, number: int, batch: ReadBatch) -> Answer:
        """Return the answer of a read, and keep the batch if the source wants to hear of it."""
        default = ReadBatch()
        if batch.ack is default.ack and batch.nack is default.nack and batch.checkpoint is None:
            return self._packer.pack(number, 0, batch)
        self._next_batch += 1
        self._batches[self._next_batch] = batch
        if len(self._batches) > _BATCHES:
            del self._batches[next(iter(self._batches))]
        return self._packer.pack(number, self._next_batch, batch)

    async def _verdict(self, verdict: Verdict) -> None:
        """Pass on what became of a batch. If the source cannot take it, its connection is not to be trusted: the next read says so."""
        batch = self._batches.pop(verdict.batch, None)
        if batch is None:
            return
        if verdict.refused is None and batch.checkpoint is not None:
            self._checkpoint = batch.checkpoint
        try:
            await (batch.ack() if verdict.refused is None else batch.nack(verdict.refused))
        except RetryLater as error:
            self._broken = str(error)
        except Exception as error:
            log.exception("the source could not acknowledge")
            self._broken = f"{type(error).__name__}: {error}"

    def _made(self) -> Source:
        if self._source is None:
            raise SourceUnavailable("the source has not been made")
        return self._source

    def _now(self) -> int:
        return times.now() + self._offset

    def _resolve(self, text: str) -> str:
        """Put in the values of secret references, as the gateway gave them along with the wish to connect."""
        for reference in references(text):
            if reference not in self._secrets:
                raise SecretUnavailable(
                    self._unresolved.get(reference, f"{reference} does not stand in the source's section: put it there")
                )
            text = text.replace(reference, self._secrets[reference])
        return text


def _out_of_memory() -> NoReturn:
    """End at once: what was leaked is free only when the process is gone."""
    os.write(2, b"out of memory: 'resources.memory' allows no more\n")
    os._exit(OUT_OF_MEMORY)


def tie_to(parent: int) -> None:
    """Die with the gateway, whatever ends it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the gateway is gone already")


async def _over_socket(host: Host, descriptor: int) -> None:
    line = socket.socket(fileno=descriptor)
    line.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: host, sock=line)


async def _over_pipes(host: Host, incoming: int, outgoing: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.connect_write_pipe(lambda: host, os.fdopen(outgoing, "wb", buffering=0))
    await loop.connect_read_pipe(lambda: host, os.fdopen(incoming, "rb", buffering=0))


def _take_pipes() -> tuple[int, int]:
    """Return standard input and output as descriptors of our own, and let everybody else read nothing and write to standard error."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return incoming, outgoing


def _end_with(line: int) -> None:
    """End this process some time after its gateway, also when the event loop stands still: in a container no kernel does it for us."""
    poll = select.poll()
    poll.register(line, select.POLLRDHUP)
    poll.poll()
    time.sleep(_CLOSE_SECONDS + 1)
    os._exit(1)


async def serve(reach: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
    """Serve one gateway until it closes the line.

    Args:
        reach: opens the line.
    """
    host = Host()
    await reach(host)
    beating = asyncio.create_task(host.beat())
    await host.gone.wait()
    beating.cancel()
    await host.close()


def main(arguments: list[str]) -> None:
    """Become the process of a source."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if arguments[0] == "stdio":
        if arguments[1] != str(VERSION):
            spoken = f"the gateway speaks version {arguments[1]} to its sources, this image {VERSION}"
            sys.exit(f"{spoken}: build it with the gateway's Trunkline")
        incoming, outgoing = _take_pipes()
        threading.Thread(target=_end_with, args=(incoming,), daemon=True).start()
        reach = partial(_over_pipes, incoming=incoming, outgoing=outgoing)
    else:
        tie_to(int(arguments[1]))
        reach = partial(_over_socket, descriptor=int(arguments[0]))
    faulthandler.enable(all_threads=False)  # the last words are those of the thread that crashed
    childlog.configure()
    asyncio.run(serve(reach))


if __name__ == "__main__":
    main(sys.argv[1:])

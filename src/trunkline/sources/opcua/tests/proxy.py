"""A TCP proxy that misbehaves on demand: refuses, freezes, talks nonsense, cuts."""

import asyncio
import random
import socket
from contextlib import suppress
from typing import Literal

from trunkline.sources.opcua.tests.loopthread import LoopThread

Mode = Literal["open", "unplugged", "frozen", "garbage"]


class Proxy:
    """Stands between a client and `target`; its own port stays the same through all modes."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = 0
        self.mode: Mode = "open"
        self.accepted = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._running = asyncio.Event()
        self._thread = LoopThread("proxy")
        self._random = random.Random(7)
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._hold()
        await self._thread.call(self._listen())
        self._running.set()

    async def stop(self) -> None:
        await self._thread.call(self._stop())
        await asyncio.to_thread(self._thread.close)

    async def unplug(self) -> None:
        await self._thread.call(self._switch("unplugged"))

    async def plug(self) -> None:
        await self._thread.call(self._switch("open"))

    async def freeze(self) -> None:
        await self._thread.call(self._switch("frozen"))

    async def garbage(self) -> None:
        await self._thread.call(self._switch("garbage"))

    async def cut(self) -> None:
        """Drop the connections of now; new ones are accepted."""
        await self._thread.call(self._cut())

    async def _switch(self, mode: Mode) -> None:
        before, self.mode = self.mode, mode
        if mode == "frozen":
            self._running.clear()
        else:
            self._running.set()
        if mode == "unplugged" or (before == "garbage" and mode == "open"):
            await self._cut()
        if mode == "unplugged":
            self._deaf()
        else:
            await self._listen()
        if mode == "garbage":
            for writer in self._writers:
                self._nonsense(writer)

    async def _stop(self) -> None:
        self._running.set()
        self._deaf()
        await self._cut()
        if self._held is not None:
            self._held.close()

    def _hold(self) -> None:
        """Bind without listening: the port stays ours and connections are refused."""
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self.port))
        self.port = self._held.getsockname()[1]

    async def _listen(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._server = await asyncio.start_server(self._accept, sock=held)

    def _deaf(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._hold()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _nonsense(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):
            writer.write(self._random.randbytes(256))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.CancelledError):
            if self.mode == "garbage":
                await self._answer_nonsense(reader, writer)
            else:
                await self._running.wait()
                other_reader, other = await asyncio.open_connection(*self._target)
                self._writers.add(other)
                await asyncio.gather(self._pump(reader, other), self._pump(other_reader, writer))
        for one in (writer, other):
            if one is not None:
                self._writers.discard(one)
                one.transport.abort()

    async def _answer_nonsense(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            self._nonsense(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._running.wait()
            if self.mode == "garbage":
                data = self._random.randbytes(len(data))
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

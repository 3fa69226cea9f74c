"""Batches of one source that are not durable yet: several at once, acknowledged in the order in which they were read.

A durable write waits a moment for more readings. If a source were read on only when its last batch is durable, small batches would come
one a moment; so it is read on meanwhile, and one source alone can fill a write.
"""

import asyncio
from contextlib import suppress
from typing import Final

from trunkline.model.errors import RetryLater
from trunkline.sources.port import ReadBatch

#: Batches of a connection under way at once, however few readings they have.
MOST_BATCHES: Final = 500
_SETTLE_SECONDS: Final = 10.0


class UnderWay:
    """The batches of one connection.

    Args:
        source: its id.
        most: readings under way from which on it is not read further; the last batch may go beyond.
    """

    def __init__(self, source: str, most: int) -> None:
        self._most = most
        self._batches = 0
        self._readings = 0
        self._entries: asyncio.Queue[tuple[ReadBatch, asyncio.Future[None]]] = asyncio.Queue()
        self._room = asyncio.Event()
        self._error: Exception | None = None
        self._telling = asyncio.create_task(self._tell_all(), name=f"store:{source}")

    async def room(self) -> None:
        """Wait until one more batch may follow. Raises what kept an earlier one from being stored or acknowledged, once all are told."""
        while self._error is None and (self._batches >= MOST_BATCHES or self._readings >= self._most):
            self._room.clear()
            await self._room.wait()
        if self._error is not None:
            await self.settle()
            raise self._error

    def add(self, batch: ReadBatch, durable: "asyncio.Future[None]") -> None:
        """Take over a batch that was handed to the writer, and see that its device hears of it."""
        self._batches += 1
        self._readings += len(batch.readings)
        self._entries.put_nowait((batch, durable))

    async def settle(self) -> None:
        """Give what is under way the time to become durable. What does not is told neither way: its device offers it again."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await self._entries.join()
        finally:
            self._telling.cancel()
            while not self._entries.empty():
                self._entries.get_nowait()[1].cancel()

    async def _tell_all(self) -> None:
        while True:
            batch, durable = await self._entries.get()
            try:
                await _tell(batch, durable)
            except Exception as error:  # noqa: BLE001 - a plugin's own defect as well; `room` raises it where the source is read
                self._error = self._error or error
            self._batches -= 1
            self._readings -= len(batch.readings)
            self._entries.task_done()
            self._room.set()


async def _tell(batch: ReadBatch, durable: "asyncio.Future[None]") -> None:
    """Let the device forget a batch once it is durable. Raises RetryLater after the device was told that it is not."""
    try:
        await durable
    except RetryLater as error:
        await batch.nack(str(error))
        raise
    await batch.ack()

"""Shared by the tests of this folder: sources on real databases, and a gateway in small that keeps checkpoints."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Reading
from trunkline.sources.port import ReadBatch, SourceContext
from trunkline.sources.sql.config import SqlConfig
from trunkline.sources.sql.source import SqlSource

COUNT: dict[str, Any] = {
    "query": "SELECT n FROM c WHERE n > :since ORDER BY n",
    "cursor": "n",
    "tags": [{"path": "P.N", "kind": "integer", "column": "n"}],
}


class Gateway:
    """A source as a gateway runs it: batches are kept with their checkpoints, and `restart` forgets everything else."""

    def __init__(self, directory: Path, now: Callable[[], int] = times.now, secrets: dict[str, str] | None = None, **options: Any) -> None:
        self.config = SqlConfig.model_validate({"id": "mes", "poll_seconds": 0.004, **options})
        self._context = SourceContext("gateway-1", directory, now, (secrets or {}).__getitem__, lambda: self.checkpoint)
        self.checkpoint: str | None = None
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self._watched: Any = None
        self._count = 0
        self.largest = 0
        self.source = SqlSource(self.config, self._context)

    @property
    def values(self) -> list[object]:
        return [reading.value for reading in self.readings]

    async def restart(self) -> None:
        await self.source.close()
        self.source = SqlSource(self.config, self._context)
        await self.source.connect()

    async def once(self) -> None:
        self.keep(await self.source.read())

    def keep(self, batch: ReadBatch) -> None:
        self.readings += batch.readings
        self.events += batch.events
        self.largest = max(self.largest, len(batch.readings))
        self.checkpoint = batch.checkpoint or self.checkpoint

    async def settle(self, quiet: float = 0.0) -> list[object]:
        """Read until several looks in a row, and so many seconds, have brought nothing; return all values kept so far."""
        loop = asyncio.get_running_loop()
        reading = asyncio.ensure_future(self.source.read())
        looks, began = self._looks(), loop.time()
        try:
            while self._looks() < looks + 4 or loop.time() < began + quiet:
                await asyncio.wait((reading,), timeout=0.005)
                if reading.done():
                    self.keep(reading.result())
                    reading = asyncio.ensure_future(self.source.read())
                    looks, began = self._looks(), loop.time()
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
        if not reading.cancelled():
            self.keep(reading.result())  # it came at the last moment
        return self.values

    def _looks(self) -> int:
        """Return how often the present source has looked for something new."""
        reader: Any = self.source._reader
        if reader is not None and reader is not self._watched:
            self._watched = reader
            look = reader.take

            def counted() -> Any:
                found = look()
                self._count += 1
                return found

            reader.take = counted
        return self._count

"""Shared by the tests of this folder: sources on files, and a gateway in small that keeps checkpoints."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Reading
from trunkline.sources.file.config import FileConfig
from trunkline.sources.file.source import FileSource
from trunkline.sources.port import ReadBatch, SourceContext

TAG = {"path": "P.A.U.N", "kind": "integer", "column": 1}


class Gateway:
    """A source as a gateway runs it: batches are kept with their checkpoints, and `restart` forgets everything else."""

    def __init__(self, files: str, directory: Path, now: Callable[[], int] = times.now, **options: Any) -> None:
        section = {"id": "files", "files": files, "poll_seconds": 0.004, "format": {"syntax": "csv", "header": 0}, "tags": [TAG], **options}
        self.config = FileConfig.model_validate(section)
        self._directory, self._now = directory, now
        self.checkpoint: str | None = None
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self._watched: Any = None
        self._count = 0
        self.source = self._source()

    def _source(self) -> FileSource:
        return FileSource(self.config, SourceContext("gateway-1", self._directory, self._now, str, lambda: self.checkpoint))

    @property
    def values(self) -> list[object]:
        return [reading.value for reading in self.readings]

    def keep(self, batch: ReadBatch) -> None:
        self.readings += batch.readings
        self.events += batch.events
        self.checkpoint = batch.checkpoint or self.checkpoint

    async def restart(self, **changed: Any) -> None:
        await self.source.close()
        self.config = self.config.model_copy(update=changed)
        self.source = self._source()
        await self.source.connect()

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
            look = reader.fill

            def counted() -> Any:
                found = look()
                self._count += 1
                return found

            reader.fill = counted
        return self._count

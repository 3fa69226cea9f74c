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

#: Seconds of patience for what must come about, and of watching for what must not.
PATIENCE, WATCH = 20.0, 0.25
TAG = {"path": "P.A.U.N", "kind": "integer", "column": 1}


class Gateway:
    """A source as a gateway runs it: batches are kept with their checkpoints, and `restart` forgets everything else."""

    def __init__(self, files: str, directory: Path, now: Callable[[], int] = times.now, **options: Any) -> None:
        section = {"id": "files", "files": files, "poll_seconds": 0.02, "format": {"syntax": "csv", "header": 0}, "tags": [TAG], **options}
        self.config = FileConfig.model_validate(section)
        self._directory, self._now = directory, now
        self.checkpoint: str | None = None
        self.readings: list[Reading] = []
        self.events: list[Event] = []
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

    async def settle(self, quiet: float = WATCH) -> list[object]:
        """Read until nothing has come for a while; return all values kept so far."""
        try:
            while True:
                self.keep(await asyncio.wait_for(self.source.read(), quiet))
        except TimeoutError:
            return self.values

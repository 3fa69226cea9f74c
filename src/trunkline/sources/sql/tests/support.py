"""Shared by the tests of this folder: sources on real databases, and a gateway in small that keeps checkpoints."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Reading
from trunkline.sources.port import SourceContext
from trunkline.sources.sql.config import SqlConfig
from trunkline.sources.sql.source import SqlSource

#: Seconds of watching for rows that must not come.
WATCH = 0.3
COUNT: dict[str, Any] = {
    "query": "SELECT n FROM c WHERE n > :since ORDER BY n",
    "cursor": "n",
    "tags": [{"path": "P.N", "kind": "integer", "column": "n"}],
}


class Gateway:
    """A source as a gateway runs it: batches are kept with their checkpoints, and `restart` forgets everything else."""

    def __init__(self, directory: Path, now: Callable[[], int] = times.now, secrets: dict[str, str] | None = None, **options: Any) -> None:
        self.config = SqlConfig.model_validate({"id": "mes", "poll_seconds": 0.02, **options})
        self._context = SourceContext("gateway-1", directory, now, (secrets or {}).__getitem__, lambda: self.checkpoint)
        self.checkpoint: str | None = None
        self.readings: list[Reading] = []
        self.events: list[Event] = []
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
        batch = await self.source.read()
        self.readings += batch.readings
        self.events += batch.events
        self.largest = max(self.largest, len(batch.readings))
        self.checkpoint = batch.checkpoint or self.checkpoint

    async def settle(self, quiet: float = WATCH) -> list[object]:
        """Read until nothing has come for a while; return all values kept so far."""
        try:
            while True:
                await asyncio.wait_for(self.once(), quiet)
        except TimeoutError:
            return self.values

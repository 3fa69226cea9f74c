"""What the tests of this plugin share."""

import asyncio
from collections.abc import Callable
from typing import Any

from trunkline.model.events import Event
from trunkline.model.reading import Reading
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.port import ReadBatch

WAIT = 30.0

Connected = Callable[..., Any]


class Durable:
    """Keeps checkpoints as the gateway does: that of a batch is there once the batch is acknowledged."""

    def __init__(self) -> None:
        self._text: str | None = None

    def checkpoint(self) -> str | None:
        return self._text

    def follow(self, source: OpcUaSource) -> None:
        """Store what this source hands over from now on."""
        read = source.read

        async def reading() -> ReadBatch:
            batch = await read()
            ack = batch.ack

            async def acknowledged() -> None:
                self._text = batch.checkpoint or self._text
                await ack()

            batch.ack = acknowledged
            return batch

        source.read = reading  # type: ignore[method-assign]  # stands between source and test as the gateway's runner does


def settings(endpoint: str, tags: list[dict[str, Any]], **options: Any) -> OpcUaConfig:
    """A configuration with short times."""
    quick = {"publishing_interval": 0.05, "sampling_interval": 0.0, "poll_interval": 0.05, "timeout": 5.0, "watchdog_interval": 0.5}
    return OpcUaConfig.model_validate({"id": "opc", "type": "opcua", "endpoint": endpoint, "tags": tags, **quick, **options})


def tag(path: str, node: str, kind: str = "double", **options: Any) -> dict[str, Any]:
    return {"path": path, "node": node, "kind": kind, **options}


async def read_until(source: OpcUaSource, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    """Read, acknowledging, until `enough`; give up after WAIT seconds."""
    found: list[Reading] = []
    async with asyncio.timeout(WAIT):
        while not enough(found):
            batch: ReadBatch = await source.read()
            found.extend(batch.readings)
            await batch.ack()
    return found


async def first_of(source: OpcUaSource, *paths: str) -> dict[str, Reading]:
    """Return the first reading of each tag."""
    found = await read_until(source, lambda readings: {reading.tag for reading in readings} >= set(paths))
    return {reading.tag: reading for reading in reversed(found)}


async def heard(source: OpcUaSource) -> None:
    """Wait until the server agreed to a refresh since the source was made: its notifiers are monitored."""
    async with asyncio.timeout(WAIT):
        while not source.counters.refreshes:
            await asyncio.sleep(0.01)


async def events_until(source: OpcUaSource, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Read, acknowledging, until there are enough events; give up after WAIT seconds."""
    found: list[Event] = []
    async with asyncio.timeout(WAIT):
        while not enough(found):
            batch: ReadBatch = await source.read()
            found.extend(batch.events)
            await batch.ack()
    return found

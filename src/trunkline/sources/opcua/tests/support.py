"""What the tests of this plugin share."""

import asyncio
from collections.abc import Callable
from typing import Any

from trunkline.model.reading import Reading
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.port import ReadBatch

WAIT = 30.0

Connected = Callable[..., Any]


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

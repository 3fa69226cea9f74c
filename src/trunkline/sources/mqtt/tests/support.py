"""Shared by the tests of this folder: sources on a broker, and reading until enough is there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Reading, Value
from trunkline.sources.mqtt.config import MqttConfig
from trunkline.sources.mqtt.source import MqttSource
from trunkline.sources.mqtt.tests.broker import PATIENCE, Broker
from trunkline.sources.port import CommandOutcome, ReadBatch, SourceContext, WriteCommand

FLOW = {"path": "PLANT01.AREA01.UNIT_01.FLOW", "topic": "unit/flow", "kind": "integer", "command_topic": "unit/command"}
SECRETS = {"${secret:right}": "right", "${secret:wrong}": "canary-wrong", "${secret:key}": "of-the-key"}


def source_on(port: int, directory: Path, now: Callable[[], int] = times.now, **options: Any) -> MqttSource:
    section = {"id": "broker", "host": "127.0.0.1", "port": port, "tags": [FLOW], **options}
    return MqttSource(MqttConfig.model_validate(section), SourceContext("gateway-1", directory, now, SECRETS.__getitem__))


@asynccontextmanager
async def connected(broker: Broker, directory: Path, **options: Any) -> AsyncIterator[MqttSource]:
    source = source_on(broker.port, directory, **options)
    try:
        await source.connect()
        yield source
    finally:
        await source.close()


async def take(source: MqttSource, readings: int, events: int = 0) -> tuple[list[Reading], list[Event], list[ReadBatch]]:
    """Read without acknowledging until that much has come."""
    batches: list[ReadBatch] = []
    async with asyncio.timeout(PATIENCE):
        while sum(len(batch.readings) for batch in batches) < readings or sum(len(batch.events) for batch in batches) < events:
            batches.append(await source.read())
    return [one for batch in batches for one in batch.readings], [one for batch in batches for one in batch.events], batches


async def values(source: MqttSource, count: int, *, ack: bool) -> list[Value]:
    """Read `count` values, acknowledge them or not; the broker has handled the acknowledgements on return."""
    readings, _, batches = await take(source, count)
    if ack:
        for batch in batches:
            await batch.ack()
        # the broker handles packets in order: with its answer to this one it has handled those before
        assert await source.write(WriteCommand(str(FLOW["path"]), 0)) is CommandOutcome.DONE
    return [reading.value for reading in readings]

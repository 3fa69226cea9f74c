"""Shared by the tests of this folder: sources on a broker, reading until enough is there, and a listener for what hosts publish."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Reading, Value
from trunkline.sources.mqtt.tests.broker import PATIENCE, Broker
from trunkline.sources.port import SourceContext
from trunkline.sources.sparkplug.config import SparkplugConfig
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.source import SparkplugSource
from trunkline.sources.sparkplug.tests.edge import GROUP

FLOW = {"path": "P.FLOW", "node": "edge-1", "metric": "Flow", "writable": True}
SECRETS = {"${secret:g}": "g"}
SPEED = {"path": "P.PUMP.SPEED", "node": "edge-1", "device": "pump", "metric": "Speed", "kind": "integer", "writable": True}


def metrics() -> dict[str, dict[str, tuple[int, Value]]]:
    """What the edge node of most tests has: one metric of its own, one of a device."""
    return {"": {"Flow": (DataType.DOUBLE, 1.0)}, "pump": {"Speed": (DataType.INT16, 10)}}


def source_on(port: int, directory: Path, now: Callable[[], int] = times.now, **options: Any) -> SparkplugSource:
    section = {"id": "edges", "host": "127.0.0.1", "port": port, "group": GROUP, "tags": [FLOW, SPEED], **options}
    return SparkplugSource(SparkplugConfig.model_validate(section), SourceContext("gateway-1", directory, now, SECRETS.__getitem__))


@asynccontextmanager
async def connected(broker: Broker, directory: Path, **options: Any) -> AsyncIterator[SparkplugSource]:
    source = source_on(broker.port, directory, **options)
    try:
        await source.connect()
        yield source
    finally:
        await source.close()


async def take(source: SparkplugSource, readings: int, events: int = 0) -> tuple[list[Reading], list[Event]]:
    """Read and acknowledge until that much has come."""
    found: list[Reading] = []
    told: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < readings or len(told) < events:
            batch = await source.read()
            await batch.ack()
            found += batch.readings
            told += batch.events
    return found, told


async def until(source: SparkplugSource, path: str, value: Value) -> tuple[list[Reading], list[Event]]:
    """Read until a tag shows a value; returns everything read."""
    found: list[Reading] = []
    told: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while not any((one.tag, one.value) == (path, value) for one in found):
            batch = await source.read()
            await batch.ack()
            found += batch.readings
            told += batch.events
    return found, told


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, otherwise
        time.sleep(0.01)


class Listener:
    """Notes what is published below a filter: (topic, payload, QoS, retained)."""

    def __init__(self, port: int, topic_filter: str) -> None:
        self.heard: list[tuple[str, bytes, int, bool]] = []
        self._granted = False
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic_filter, qos=1)
        self._client.loop_start()
        wait_for(lambda: self._granted, "the broker does not answer")

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.qos, message.retain))

    def _on_subscribe(self, *_: object) -> None:
        self._granted = True

    async def count(self, number: int) -> None:
        """Wait for so many messages."""
        await asyncio.to_thread(wait_for, lambda: len(self.heard) >= number, f"heard less than {number} messages")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

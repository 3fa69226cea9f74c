"""Alarms of an OPC UA server in the edge journal: each once, whatever is cut or ends in between."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from asyncua import ua

from trunkline.config.site import BufferConfig
from trunkline.gateway import runner as runners
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.log.codec.events import decode_event
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.events import Event
from trunkline.model.reading import Category
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.tests.desk import Desk
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import settings
from trunkline.sources.port import SourceContext

PATIENCE = 60.0


@pytest.fixture(scope="module")
def device() -> Iterator[DeviceServer]:
    server = DeviceServer().start()
    yield server
    server.stop()


class Gateway:
    """One source, its runner and the writer of the edge journal; `disk_full` makes every write fail."""

    def __init__(self, edge: Journal, layout: Layout, device: DeviceServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disk_full = False
        self._edge, self._layout = edge, layout
        self.writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
        context = SourceContext("gw1", folder, times.now, str, lambda: self.writer.checkpoint("opc"))
        config = settings(device.endpoint, [], events=[{}])
        self.source = OpcUaSource(config, context)
        self._runner = SourceRunner(config, self.source, self.writer, layout)
        real = edge.append_many

        def append_many(*arguments: Any, **options: Any) -> Positions:
            if self.disk_full:
                raise RetryLater("database or disk is full")
            return real(*arguments, **options)

        monkeypatch.setattr(edge, "append_many", append_many)

    async def __aenter__(self) -> Self:
        self.writer.start()
        self._task = asyncio.create_task(self._runner.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await asyncio.to_thread(self.writer.abandon)

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not enough():
                await asyncio.sleep(0.01)

    def journaled(self, category: Category) -> list[Event]:
        """Return what the journal holds of the server's events, in order."""
        topic = self._layout.topic(category, "raw")
        found = [decode_event(record.value) for at in self._edge.bounds(topic) for record in self._edge.read(at, 0, 100_000)]
        return [event for event in found if event.attributes.get("event_id")]


async def test_alarms_are_journaled_once(
    edge: Journal, layout: Layout, device: DeviceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-9, W-10, W-13, W-55: alarms and events go to their topics; a full disk, a reconnect, a new gateway: each once."""
    monkeypatch.setattr(runners, "FIRST_PAUSE", 0.01)
    desk = Desk(device)
    async with Gateway(edge, layout, device, tmp_path, monkeypatch) as gateway:
        await gateway.until(lambda: gateway.source.counters.refreshes == 1)
        desk.send(Message=ua.LocalizedText("event 1"))
        desk.alarm("A", active=True)
        await gateway.until(lambda: len(gateway.journaled(Category.ALARM)) == 1)
        gateway.disk_full = True
        desk.send(Message=ua.LocalizedText("event 2"))
        desk.alarm("B", active=True)
        await gateway.until(lambda: gateway.source.counters.events == 4)
        gateway.disk_full = False
        await gateway.until(lambda: len(gateway.journaled(Category.ALARM)) == 2)
        gateway.source._session.fail("cut by the test")  # type: ignore[union-attr]  # as a lost connection does
        await gateway.until(lambda: gateway.source.counters.refreshes == 2)
        desk.alarm("C", active=True)
        await gateway.until(lambda: len(gateway.journaled(Category.ALARM)) == 3)
    async with Gateway(edge, layout, device, tmp_path, monkeypatch) as gateway:
        await gateway.until(lambda: gateway.source.counters.events_known == 3)
        desk.alarm("A", active=False, acked=True, retain=False)
        await gateway.until(lambda: len(gateway.journaled(Category.ALARM)) == 4)
        alarms, events = gateway.journaled(Category.ALARM), gateway.journaled(Category.EVENT)
    assert [(event.text, event.before, event.after) for event in alarms] == [
        ("A", None, "ACTIVE"),
        ("B", None, "ACTIVE"),
        ("C", None, "ACTIVE"),
        ("A", "ACTIVE", "CLEARED"),
    ]
    assert [event.text for event in events] == ["event 1", "event 2"]
    assert all(event.origin == edge.id and event.source == "opc" for event in (*alarms, *events))

"""A source is read on while what it gave before becomes durable; acknowledged in order, bounded, and refused in one piece."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.gateway.edge_support import positions, readings, stored

from trunkline.config.site import BufferConfig
from trunkline.config.tags import SourceConfig, TagConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.gateway.underway import MOST_BATCHES
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category, Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand


class Eager:
    """A source that always has the next batch, up to a last one; notes what it is told."""

    def __init__(self, batches: int, each: int = 1) -> None:
        self._batches, self._each = batches, each
        self.given = 0
        self.acknowledged: list[int] = []
        self.refused: list[int] = []
        self.told = asyncio.Event()

    async def connect(self) -> None:
        pass

    async def read(self) -> ReadBatch:
        if self.given == self._batches:
            await asyncio.Event().wait()
        number = self.given
        self.given += 1

        async def ack() -> None:
            self.acknowledged.append(number)
            self.told.set()

        async def nack(_why: str) -> None:
            self.refused.append(number)
            self.told.set()

        now = times.now()
        made = [Reading("P.T", float(number), 0, now, now) for _ in range(self._each)]
        return ReadBatch(made, ack=ack, nack=nack, checkpoint=str(number))

    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise NotImplementedError

    async def browse(self, at: str) -> list[BrowseNode]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Disk:
    """The journal's durable write, which the test holds up or refuses. Real files are filled in tests/gateway/test_full_disk.py."""

    def __init__(self, journal: Journal, patch: pytest.MonkeyPatch) -> None:
        self._real = journal.append_many
        self.free = threading.Event()
        self.free.set()
        self.refusals = 0
        self.reached = threading.Event()
        patch.setattr(journal, "append_many", self._append_many)

    def _append_many(self, *arguments: Any, **options: Any) -> Positions:
        self.reached.set()
        self.free.wait()
        if self.refusals:
            self.refusals -= 1
            raise RetryLater("database or disk is full")
        return self._real(*arguments, **options)

    async def hold(self) -> None:
        """Return once a write is held up."""
        self.free.clear()
        self.reached.clear()
        await until(self.reached.is_set)


@pytest.fixture
def disk(edge: Journal, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(edge, monkeypatch)


def start(source: Eager, journal: Journal, layout: Layout, buffer: BufferConfig) -> tuple[EdgeWriter, "asyncio.Task[None]"]:
    writer = EdgeWriter(journal, layout, buffer, wrote=threading.Event())
    writer.start()
    config = SourceConfig(id="eager", type="simulated", tags=(TagConfig(path="P.T"),))
    return writer, asyncio.create_task(SourceRunner(config, source, writer, layout).run())


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.done()


async def test_small_batches_fill_a_write_together(edge: Journal, layout: Layout) -> None:
    """With a linger of ten seconds a batch of one reading for each write would take an hour; together they fill writes of a hundred."""
    source = Eager(400)
    writer, task = start(source, edge, layout, BufferConfig(linger_ms=10_000, batch_readings=100))
    await until(lambda: len(source.acknowledged) >= 300)
    await asyncio.to_thread(writer.stop)
    await until(lambda: len(source.acknowledged) == 400)
    await end(task)
    assert source.acknowledged == list(range(400))
    assert writer.checkpoint("eager") == "399"


@pytest.mark.parametrize(("each", "most"), [(1, MOST_BATCHES + 1), (50, 2 * 200 // 50 + 1)], ids=["batches", "readings"])
async def test_no_more_is_read_than_may_be_under_way(edge: Journal, layout: Layout, disk: Disk, each: int, most: int) -> None:
    """While the disk holds up a write, a source is read up to the bound and one batch in hand; what is not durable is not acknowledged."""
    source = Eager(10_000, each)
    writer, task = start(source, edge, layout, BufferConfig(linger_ms=1, batch_readings=200 if each > 1 else 2_000))
    await until(lambda: bool(source.acknowledged))
    await disk.hold()
    await until(lambda: source.given - len(source.acknowledged) >= most)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert source.given - len(source.acknowledged) == most
    held = source.given
    disk.free.set()
    await until(lambda: len(source.acknowledged) > held)
    await end(task)
    writer.stop()
    assert source.acknowledged == list(range(len(source.acknowledged)))


async def test_what_follows_a_refused_batch_is_refused(edge: Journal, layout: Layout, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has room again while it stops must not take later readings, or their checkpoint would pass over the refused ones."""
    source = Eager(10_000)
    writer, task = start(source, edge, layout, BufferConfig(linger_ms=1, batch_readings=10))
    await until(lambda: len(source.acknowledged) > 20)
    await disk.hold()
    disk.refusals = 1
    stop = writer.stop

    def stop_and_let_go() -> None:
        disk.free.set()
        stop()

    monkeypatch.setattr(writer, "stop", stop_and_let_go)
    await asyncio.to_thread(writer.abandon)
    await until(lambda: len(source.refused) > 10)
    await end(task)
    stored = len(source.acknowledged)
    assert source.acknowledged == list(range(stored))
    assert source.refused == list(range(stored, stored + len(source.refused)))
    assert edge.meta("edge.checkpoint.eager") == str(stored - 1)


async def test_what_comes_after_the_end_is_refused(edge: Journal, layout: Layout) -> None:
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=0), wrote=threading.Event())
    writer.start()
    await writer.submit(readings(0, 3))
    writer.stop()
    with pytest.raises(RetryLater, match="stopping"):
        async with asyncio.timeout(60):
            await writer.submit(readings(3, 3))
    assert positions(edge, layout) == [0, 1, 2]


async def test_an_event_names_the_place_of_what_comes_after_it(edge: Journal, layout: Layout, disk: Disk) -> None:
    """D-15: 'from this place on the clock is right' holds although readings before it are still on their way to the disk."""
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    disk.free.clear()
    before = [await writer.enter(readings(0, 30)), await writer.enter(readings(30, 12))]
    named = writer.next_position
    after = await writer.enter(readings(42, 5))
    disk.free.set()
    await asyncio.gather(*before, after)
    await asyncio.to_thread(writer.stop)
    told = codec.decode(stored(edge, layout.topic(Category.TELEMETRY, "raw")))
    assert named == 42
    assert {position for position, value in zip(told.seq.tolist(), told.number.tolist(), strict=True) if value >= 42} == set(range(42, 47))
    assert EdgeWriter(edge, layout, BufferConfig(), wrote=threading.Event()).next_position == 47

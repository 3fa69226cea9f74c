"""Exception reporting says exactly what it kept back: how many, by source and hour, and how far they were from what was told."""

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.site import BufferConfig
from trunkline.config.tags import Deadband, SourceConfig, TagConfig
from trunkline.gateway import edge as edge_module
from trunkline.gateway.conditioning import Conditioner
from trunkline.gateway.edge import EdgeWriter, edge_counts
from trunkline.gateway.reduction import FURTHEST, Furthest, Reduction, statements, stored_furthest
from trunkline.gateway.runner import SourceRunner
from trunkline.ledger.status import EdgeCount
from trunkline.log.codec.writer import TagSlot
from trunkline.log.journal.journal import Journal
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Kind, Reading
from trunkline.sources.port import ReadBatch

NOW = times.from_iso("2026-01-01T00:00:00Z")
HOUR = times.hour_of(NOW)
TAG = "P.A.U1.FLOW"
OTHER = "P.A.U2.FLOW"
BAND = 0.5


def conditioner() -> Conditioner:
    tags = [TagConfig(path=TAG, deadband=Deadband(absolute=BAND)), TagConfig(path=OTHER)]
    return Conditioner([(tag, TagSlot.of(tag.path, "plc", Kind.DOUBLE, 3)) for tag in tags], stale_after=10, lost_after=60, started=NOW)


def reading(value: float, at: int, tag: str = TAG) -> Reading:
    return Reading(tag, value, 0, NOW + at, NOW + at)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200))
def test_what_came_is_what_was_kept_and_what_was_kept_back(values: list[float]) -> None:
    """And what was kept back is within the deadband of what was told last before it, the furthest of it as stated."""
    one = conditioner()
    told, furthest, back = None, 0.0, 0
    kept = 0
    for at, value in enumerate(values):
        out = one.take([reading(value, at)], alive=False, now=NOW + at)
        if out:
            told, kept = value, kept + 1
        else:
            assert told is not None
            assert abs(value - told) <= BAND
            furthest, back = max(furthest, abs(value - told) / BAND), back + 1
    reduction = one.reduction()
    assert kept + back == len(values)
    assert one.suppressed == back == (reduction.hours.total() if reduction else 0)
    assert one.furthest.share == furthest <= 1
    assert one.reduction() is None, "each is handed on once"


def test_hours_are_those_of_history() -> None:
    one = conditioner()
    read = NOW + times.HOUR  # all at once: a device that had kept them
    late = [Reading(TAG, 1 + number / 10, 0, NOW + at, read) for number, at in enumerate((0, 1, times.HOUR, times.HOUR))]
    one.take(late, alive=False, now=read, late=True)
    reduction = one.reduction()
    assert reduction is not None
    assert reduction.hours == {HOUR: 1, HOUR + 1: 2}
    assert reduction.furthest.tag == TAG
    assert reduction.furthest.share == pytest.approx(0.6)


def writer_of(edge: Journal, layout: Layout) -> EdgeWriter:
    return EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())


def counted(edge: Journal) -> list[tuple[int, int]]:
    return [(cell.read, cell.reduced) for cell in edge_counts(edge.tallies()) if cell.category == "telemetry"]


def kept_back(number: int, share: float = 0.5) -> tuple[str, Reduction]:
    made = Reduction()
    for _ in range(number):
        made.note(TAG, share, HOUR)
    return "plc", made


async def test_counts_are_durable_with_the_readings_of_their_batch(edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction: what the disk refuses counts neither, and a second try counts it once."""
    real, tries = edge.append_many, []

    def append_many(*arguments: Any, **options: Any) -> Any:
        tries.append(options["tallies"])
        if len(tries) < 3:
            raise RetryLater("the disk cannot be reached")
        return real(*arguments, **options)

    monkeypatch.setattr(edge, "append_many", append_many)
    writer = writer_of(edge, layout)
    writer.start()
    slot = TagSlot.of(TAG, "plc", Kind.DOUBLE, 3)
    await writer.submit([(slot, reading(1.0, 0))], reduced=kept_back(4))
    assert counted(edge) == [(1, 4)]
    assert len(tries) == 3
    writer.stop()


async def test_counts_without_readings_wait_for_the_next_write_or_the_end(edge: Journal, layout: Layout) -> None:
    """A device that says nothing new costs the disk nothing."""
    writer = writer_of(edge, layout)
    writer.start()
    slot = TagSlot.of(TAG, "plc", Kind.DOUBLE, 3)
    await writer.submit((), reduced=kept_back(3, 0.2))
    assert counted(edge) == []
    await writer.submit([(slot, reading(1.0, 0))])
    assert counted(edge) == [(1, 3)]
    await writer.submit((), reduced=kept_back(2, 0.9))
    writer.stop()
    assert counted(edge) == [(1, 5)]
    assert stored_furthest(edge.meta(FURTHEST)) == {"plc": Furthest(0.9, TAG)}
    again = writer_of(edge, layout)
    again.start()
    await again.submit((), reduced=kept_back(1, 0.3))
    again.stop()
    assert counted(edge) == [(1, 6)]
    assert stored_furthest(edge.meta(FURTHEST)) == {"plc": Furthest(0.9, TAG)}, "the furthest outlives a restart"


async def test_counts_do_not_wait_for_ever(edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "_COUNTS_SECONDS", 0.01)
    writer = writer_of(edge, layout)
    writer.start()
    await writer.submit((), reduced=kept_back(7))
    async with asyncio.timeout(60):
        while counted(edge) != [(0, 7)]:
            await asyncio.sleep(0.01)
    writer.stop()


class Chatty:
    """A source that says nearly the same ten times, then waits."""

    def __init__(self) -> None:
        self.batches = [[reading(5 + number / 100, number), reading(number, number, OTHER)] for number in range(10)]
        self.said = asyncio.Event()

    async def connect(self) -> None:
        pass

    async def read(self) -> ReadBatch:
        if self.batches:
            return ReadBatch(self.batches.pop(0))
        self.said.set()
        await asyncio.sleep(600)
        raise AssertionError

    async def close(self) -> None:
        pass


async def test_from_a_source_to_the_statement(edge: Journal, layout: Layout) -> None:
    """Of 20 readings 11 were kept: all of the tag without a deadband, and the first of the other."""
    writer = writer_of(edge, layout)
    writer.start()
    tags = (TagConfig(path=TAG, deadband=Deadband(absolute=BAND)), TagConfig(path=OTHER))
    source: Any = Chatty()
    runner = SourceRunner(SourceConfig(id="plc", type="simulated", tags=tags), source, writer, layout, clock=lambda: NOW)
    task = asyncio.create_task(runner.run())
    await source.said.wait()
    status = runner.status()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer.stop()
    assert (status.readings_total, status.reduced_total) == (20, 9)
    assert status.reduced_furthest == pytest.approx(0.18)
    (cell,) = [cell for cell in edge_counts(edge.tallies()) if cell.category == "telemetry"]
    (said,) = statements([cell], stored_furthest(edge.meta(FURTHEST)))
    assert (said.came, said.kept, said.kept_back) == (20, 11, 9)
    assert said.sentence == (
        "plc: of 20 readings 11 were kept, 9 were within their tag's deadband; "
        "the furthest was 18.0% of it from the reading kept before (P.A.U1.FLOW)"
    )


def test_a_source_without_deadbands_kept_everything() -> None:
    (said,) = statements([EdgeCount("plc", "telemetry", HOUR, 5, 5, 0)], {})
    assert said.sentence == "plc: of 5 readings 5 were kept, 0 were within their tag's deadband"

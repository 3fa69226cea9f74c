"""Members of a step's group: shares that come and go change nothing but speed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing.runtime import StepRunner
from trunkline.processing.validate import ValidateStep

LAYOUT = Layout("gateway", 2)
RAW = LAYOUT.topic(Category.TELEMETRY, "raw")
CLEAN = LAYOUT.topic(Category.TELEMETRY, "clean")
TAGS = {"P.A.FLOW": TagConfig(path="P.A.FLOW")}
START = times.from_iso("2026-01-01T12:00:00Z")


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create(LAYOUT.catalogue(times.DAY))
    return tmp_path / "journal.db"


@contextmanager
def running(path: Path, member: str) -> Iterator[StepRunner]:
    """A member in a thread."""
    stop = threading.Event()
    runner = StepRunner(lambda: Journal(path), lambda: ValidateStep(LAYOUT, TAGS, ValidationConfig()), member)
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join()


def test_a_share_that_comes_back_is_judged_by_what_others_saw(path: Path) -> None:
    """P-113, W-129: a worker that gets a partition back does not take for a gap what another worker has read meanwhile."""
    second, seq = 0, 0
    place = TopicPartition(CLEAN, 1)
    with Journal(path) as log:

        def feed(count: int) -> None:
            """One reading a second of one tag in partition 1, without a gap; returns when all are judged."""
            nonlocal second, seq
            for _ in range(count):
                moment = START + second * times.SECOND
                slot = TagSlot.of("P.A.FLOW", "plc", Kind.DOUBLE, 1)
                (record,), after = write_blocks("gw", seq, {1: seq}, [(slot, Reading("P.A.FLOW", 1.0, 0, moment, moment))])
                log.append(RAW, [Record(record.value, record.key, record.headers, partition=1)])
                second, seq = second + 1, after
            eventually(lambda: log.bounds(CLEAN)[place][1] == second)

        with running(path, "worker-0"):
            feed(20)
            with running(path, "worker-1") as other:
                feed(20)
                eventually(lambda: other.records_total > 0)
            feed(20)
        events = LAYOUT.topic(Category.EVENT, "clean")
        assert [end for _, end in log.bounds(events).values()] == [0] * len(log.bounds(events))

import random
import threading

import numpy as np
import psycopg
import pytest
from tests.historian.support import PLACE, START, Edge, flush_of, ramp, reading

from trunkline.historian.compactor import Compactor
from trunkline.historian.reader import Reader
from trunkline.historian.segments import MAX_READINGS
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.reading import Kind, Reading


def segments(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM historian.segment").fetchone()
        assert row is not None
        return int(row[0])


def shuffled(seed: int) -> tuple[Edge, list[list[Reading]]]:
    """Late, out-of-order, overlapping batches of three kinds over two hours, some readings at the same time."""
    rng = random.Random(seed)
    kinds = {"I": Kind.INTEGER, "B": Kind.BOOLEAN, "D": Kind.DOUBLE}
    readings: list[Reading] = []
    for _ in range(1500):
        time = START + rng.randrange(2 * 3600) * times.SECOND + rng.choice([0, rng.randrange(10**6)])
        quality = rng.choice([0, 0, 0, 0x4090, 0x8031])
        readings.append(reading("D", time, rng.choice([round(rng.gauss(50, 9), 3), rng.random(), -0.0, None]), quality))
        readings.append(reading("I", time, rng.choice([rng.randrange(-(2**63), 2**63), 7, None]), quality))
        readings.append(reading("B", time, rng.random() < 0.5, quality))
    rng.shuffle(readings)
    return Edge(kinds=kinds), [readings[begin : begin + 300] for begin in range(0, len(readings), 300)]


def content(reader: Reader, tag: str) -> list[tuple[int, str, int]]:
    raw = reader.raw(tag, START - times.DAY, START + times.DAY, limit=10**6)
    return sorted(
        (time, repr(value), quality) for time, value, quality in zip(raw.time.tolist(), raw.values(), raw.quality.tolist(), strict=True)
    )


def test_merging_changes_no_reading(conninfo: str) -> None:
    """Issue 3, compactor: short, overlapping, out-of-order segments become few; readers and the ledger see no difference."""
    edge, batches = shuffled(3)
    with Writer(conninfo) as writer, Reader(conninfo) as reader, Compactor(conninfo, quiet_seconds=0) as compactor:
        writer.take_over([PLACE])
        for batch in batches:
            writer.write(flush_of([edge.block(batch)]))
        before = {tag: content(reader, tag) for tag in "DIB"}
        assert segments(conninfo) >= 3 * len(batches)
        done = compactor.run_once()
        assert (done.hours, done.readings) == (2, 4500)
        assert segments(conninfo) == done.after == 6
        assert {tag: content(reader, tag) for tag in "DIB"} == before
        assert compactor.run_once().before == 0
        assert reader.audit() == []


class StopAfter(threading.Event):
    """An event that is set once it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def test_an_hour_is_merged_in_portions(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to merge, a transaction takes few segments at a time; stopped between two, the rest is merged later."""
    monkeypatch.setattr("trunkline.historian.compactor._SEGMENTS_AT_ONCE", 6)
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader, Compactor(conninfo, quiet_seconds=0) as compactor:
        writer.take_over([PLACE])
        for part in range(4):
            readings = [one for tag in "ABC" for one in ramp(tag, 10, start=START + part * times.MINUTE, first=part * 10)]
            writer.write(flush_of([edge.block(readings)]))
        done = compactor.run_once(StopAfter(1))
        assert (done.hours, done.before, done.after, done.readings) == (0, 4, 1, 40)
        assert segments(conninfo) == 9
        done = compactor.run_once()
        assert (done.hours, done.before, done.after, done.readings) == (1, 8, 2, 80)
        for tag in "ABC":
            assert np.array_equal(reader.raw(tag, START, START + times.HOUR).number, np.arange(40))
        assert reader.audit() == []


def test_late_data_is_merged_later(conninfo: str) -> None:
    """PD-27: late data is ordinary: the hour is merged again."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader, Compactor(conninfo, quiet_seconds=0) as compactor:
        writer.take_over([PLACE])
        for start in (START, START + times.MINUTE, START + 30 * times.SECOND):
            writer.write(flush_of([edge.block(ramp("A", 60, start=start))]))
            compactor.run_once()
        assert segments(conninfo) == 1
        assert len(reader.raw("A", START, START + times.HOUR)) == 180


def test_an_hour_still_written_has_its_short_segments_gathered(conninfo: str) -> None:
    edge = Edge()
    now = times.now() // times.SECOND * times.SECOND
    start = now - now % times.HOUR
    with Writer(conninfo) as writer, Compactor(conninfo, gather_seconds=0) as gathering, Compactor(conninfo) as patient:
        writer.take_over([PLACE])
        for part in range(4):
            writer.write(flush_of([edge.block(ramp("A", 10, start=start + part * 10_000, step=1000))]))
        with psycopg.connect(conninfo) as connection:
            connection.execute("UPDATE historian.dirty_hour SET compacted_at = now()")
        patient.run_once()
        assert segments(conninfo) == 4
        patient.close()  # only one works at a time
        gathering.run_once()
        assert segments(conninfo) == 1


def test_long_hours_are_cut_and_left_alone(conninfo: str) -> None:
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader, Compactor(conninfo, quiet_seconds=0) as compactor:
        writer.take_over([PLACE])
        total = MAX_READINGS + 1000
        for begin in range(0, total, 4000):
            count = min(4000, total - begin)
            writer.write(flush_of([edge.block(ramp("A", count, start=START + begin * 100_000, step=100_000, first=begin))]))
        assert compactor.run_once().after == 2
        writer.write(flush_of([edge.block(ramp("B", 1))]))
        assert compactor.run_once().before == 0
        raw = reader.raw("A", START, START + times.HOUR, limit=10**6)
        assert np.array_equal(raw.number, np.arange(total))


def test_readers_never_see_half_a_merge(conninfo: str) -> None:
    """Issue 3: a reader beside the compactor counts the same readings at every moment."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader, Compactor(conninfo, quiet_seconds=0) as compactor:
        writer.take_over([PLACE])
        done = threading.Event()
        counts: set[int] = set()

        def look() -> None:
            while not done.is_set():
                counts.add(reader.chart("A", START, START + times.HOUR, 1).readings)
                counts.add(len(reader.raw("A", START, START + times.HOUR)))

        for part in range(20):
            writer.write(flush_of([edge.block(ramp("A", 20, start=START + part * 7 * times.SECOND))]))
        thread = threading.Thread(target=look)
        thread.start()
        for part in range(10):
            writer.write(flush_of([edge.block(ramp("B", 20, start=START + part * 7 * times.SECOND))]))
            with psycopg.connect(conninfo) as connection:
                connection.execute("UPDATE historian.dirty_hour SET writes = writes + 1")
            compactor.run_once()
        done.set()
        thread.join()
        assert counts == {400}

"""Rollups and their topics after kills at chosen points: equal to the readings, every revision published once."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from tests.historian import roll_worker
from tests.historian.roll_worker import CONFIG, TOPICS, ZONE
from tests.historian.support import PLACE, START, Edge, flush_of
from tests.historian.test_rollups import END, HOUR, differences, mixed

from trunkline.historian.rollup.check import check
from trunkline.historian.rollup.publishing import Outlet
from trunkline.historian.rollup.roller import Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.rollup.tiers import Tier
from trunkline.historian.writer import Writer
from trunkline.log.codec.rollups import decode_rollups
from trunkline.log.journal.journal import Journal
from trunkline.log.partitioner import partition_of
from trunkline.log.port import StoredRecord, Topic
from trunkline.model import times
from trunkline.model.errors import CorruptData

PARTITIONS = 3


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as log:
        log.create([Topic(name, PARTITIONS) for name in TOPICS.values()])
        yield log


class Plant:
    """Readings on their way into the database, some of them late."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.edge = Edge()

    def write(self, seed: int, begin: int, count: int = 30) -> None:
        with Writer(self.conninfo) as writer:
            writer.take_over([PLACE])
            writer.write(flush_of([self.edge.block(mixed(seed, count, begin, HOUR, "A B C"))]))


def records(log: Journal, tier: Tier) -> list[StoredRecord]:
    return [record for at, (first, end) in log.bounds(TOPICS[tier]).items() for record in log.read(at, first, end - first)]


def faults(log: Journal, conninfo: str) -> list[str]:
    """The checker: rollups as the readings say; every revision of every bucket published once, in order, and the last one is the row."""
    found = differences(check(conninfo, CONFIG, ZONE, to_time=END))
    for tier in TOPICS:
        published: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
        for record in records(log, tier):
            block = decode_rollups(record.value)
            assert block.width == tier.title
            columns = block.columns
            for tag, start, revision, n, average in zip(
                *(columns[name].tolist() for name in ("tag", "window_start", "revision", "count", "avg")), strict=True
            ):
                assert record.partition == partition_of(block.tags[tag].encode(), PARTITIONS)
                published.setdefault((block.tags[tag], start), []).append((revision, n, average))
        with psycopg.connect(conninfo) as connection:
            rows = connection.execute(
                "SELECT s.tag, (extract(epoch FROM start) * 1000000)::int8, revision, n, avg FROM historian.rollup JOIN historian.series s ON s.id = series_id WHERE tier = %s",  # noqa: E501
                (int(tier),),
            ).fetchall()
        for tag, start, revision, n, average in rows:
            told = published.pop((tag, start), [])
            if [one[0] for one in told] != list(range(revision + 1)):
                found.append(f"{tag} {tier.title} {start - START}: revisions {[one[0] for one in told]}, the row has {revision}")
            elif told[-1][1] != n or not np.array_equal(told[-1][2], average, equal_nan=True):
                found.append(f"{tag} {tier.title} {start - START}: {told[-1]} published, {n} and {average} stored")
        found += [f"{tier.title} {place}: published and not stored" for place in published]
    return found


def work(log: Journal, conninfo: str, point: str, sabotage: str = "none") -> None:
    """Run the roller's process to its end, and see that it ended as it was told to."""
    command = [sys.executable, roll_worker.__file__, str(log.path), conninfo, str(END), point, sabotage]
    ended = subprocess.run(command, check=False, timeout=120).returncode
    assert ended == (0 if point == "never" else -signal.SIGKILL)


def test_kills_change_nothing(journal: Journal, conninfo: str) -> None:
    """Issue 6, figures: equal after SIGKILLs with late data; Build 3: to topics and tables, exactly once."""
    plant = Plant(conninfo)
    plant.write(1, START)
    plant.write(2, START + 2 * HOUR)
    for seed, point in enumerate(("store:2", "commit:2", "append:1", "append:3", "store:9"), 3):
        work(journal, conninfo, point)
        plant.write(seed, START + (seed % 3) * HOUR, 5)  # late
    work(journal, conninfo, "never")
    assert faults(journal, conninfo) == []


@pytest.mark.parametrize(("sabotage", "point", "told"), [("unmark", "store:2", "row"), ("tail", "append:1", "revisions [0, 0]")])
def test_the_checker_catches_a_careless_roller(journal: Journal, conninfo: str, sabotage: str, point: str, told: str) -> None:
    """The checks fail on a roller that deletes marks too early, and on one that publishes without looking."""
    Plant(conninfo).write(1, START, 5)
    work(journal, conninfo, point, sabotage)
    work(journal, conninfo, "never", sabotage)
    assert any(told in fault for fault in faults(journal, conninfo))


def test_one_bucket_as_json(journal: Journal, conninfo: str) -> None:
    """W-63, W-131, W-132, D-50: the names of the requirement; a single reading has no deviation."""
    edge = Edge()
    with Writer(conninfo) as writer:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block(mixed(1, 0, START, times.SECOND, "PLANT01.UNIT_01.FLOW")[:1])]))
    with Roller(conninfo, Settings(CONFIG), ZONE, Outlet(journal, TOPICS, "json")) as roller:
        assert roller.run_once(now=START + 2 * times.MINUTE).published == 2
        assert roller.run_once(now=START + 2 * times.MINUTE).published == 0
    first, second = sorted((json.loads(record.value) for record in records(journal, Tier.MINUTE)), key=lambda one: str(one["window_start"]))
    assert first["asset_id"] == "PLANT01.UNIT_01"
    assert (first["parameter"], first["unit"], first["revision"]) == ("FLOW", "", 0)
    assert (first["window_start"], first["window_end"]) == ("2026-06-01T00:00:00.000000Z", "2026-06-01T00:01:00.000000Z")
    assert (first["aggregates"]["count"], first["aggregates"]["stddev"]) == (1, None)
    assert set(first["quality_summary"]) == {"good_samples", "suspect_samples", "bad_samples", "pct_good", "pct_good_time"}
    assert second["aggregates"]["count"] == 0
    assert second["quality_summary"]["pct_good"] is None
    assert {record.key for record in records(journal, Tier.MINUTE)} == {b"PLANT01.UNIT_01.FLOW"}


def test_other_records_are_no_rollups(journal: Journal) -> None:
    with pytest.raises(CorruptData):
        decode_rollups(b"\0\0\0\0\1abc")
    with pytest.raises(CorruptData):
        decode_rollups(b"\0\0\0\0\x09abc")

"""The journal: the behaviour of every log, and what only the journal has."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.log.behaviour import LogBehaviour, eventually, log

from trunkline.log.journal import salvage, schema
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.marks import STEP
from trunkline.log.port import Log, Record, Topic, TopicPartition
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, Rejected, RetryLater

__all__ = ["log"]


class JournalEngine:
    """A journal in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.max_record_bytes = 2_000_000

    def open(self) -> Journal:
        return Journal(self.path, max_record_bytes=self.max_record_bytes)

    def source(self) -> str:
        return f"from pathlib import Path\nfrom trunkline.log.journal.journal import Journal\nlog = Journal(Path({str(self.path)!r}))"

    def enforce_retention(self, log: Log, now: int) -> None:
        assert isinstance(log, Journal)
        log.enforce_retention(now)


@pytest.fixture
def engine(tmp_path: Path) -> JournalEngine:
    return JournalEngine(tmp_path / "journal" / "log.db")


class TestBehaviour(LogBehaviour):
    """The suite of all engines."""


@pytest.fixture
def journal(engine: JournalEngine) -> Iterator[Journal]:
    with engine.open() as opened:
        opened.create([Topic("a", 2), Topic("b")])
        yield opened


A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


def values(journal: Journal, at: TopicPartition) -> list[bytes]:
    return [record.value for record in journal.read(at, 0, 100_000)]


# ---------------------------------------------------------------------- the edge's additions


def test_the_id_is_for_life(engine: JournalEngine, journal: Journal) -> None:
    with engine.open() as again:
        assert again.id == journal.id
    assert uuid.UUID(journal.id).version == 7


def test_append_many_is_one_step(engine: JournalEngine, journal: Journal) -> None:
    done = journal.append_many(
        {"a": [Record(b"1", partition=0), Record(b"2", partition=1)], "b": [Record(b"3")]},
        tallies={("read", "plc"): 2, ("read", "plc", "7"): 5},
        meta={"seq": "2"},
    )
    assert done == {A0: 1, A1: 1, B0: 1}
    with pytest.raises(Rejected):
        journal.append_many(
            {"a": [Record(b"4")], "b": [Record(b"x" * (engine.max_record_bytes + 1))]}, tallies={("read", "plc"): 9}, meta={"seq": "9"}
        )
    with pytest.raises(Misconfigured):
        journal.append_many({"a": [Record(b"4")], "nosuch": [Record(b"5")]}, tallies={("read", "plc"): 9}, meta={"seq": "9"})
    with pytest.raises(ValueError, match="U\\+001F"):
        journal.append_many({"a": [Record(b"4")]}, tallies={("re\x1fad",): 9}, meta={"seq": "9"})
    with pytest.raises(ValueError, match="belongs to the journal"):
        journal.append_many({"a": [Record(b"4")]}, meta={"journal.id": "9"})
    assert journal.bounds("a") | journal.bounds("b") == {A0: (0, 1), A1: (0, 1), B0: (0, 1)}
    assert journal.tallies() == {("read", "plc"): 2, ("read", "plc", "7"): 5}
    assert journal.meta("seq") == "2"
    assert journal.meta("nosuch") is None


def test_tallies_add_up_and_are_found_by_prefix(journal: Journal) -> None:
    for _ in range(3):
        journal.append_many({}, tallies={("read", "plc", "1"): 2, ("read", "plc2", "1"): 1, ("sent",): 4})
    journal.append_many({}, tallies={("sent",): -2})
    assert journal.tallies(("read",)) == {("read", "plc", "1"): 6, ("read", "plc2", "1"): 3}
    assert journal.tallies(("read", "plc")) == {("read", "plc", "1"): 6}
    assert journal.tallies(("sent",)) == {("sent",): 10}
    assert journal.tallies(("nosuch",)) == {}


def test_commit_adds_to_counters_or_does_nothing(engine: JournalEngine, journal: Journal) -> None:
    journal.append("b", [Record(b"1")])
    with journal.consumer("g", ["b"], "worker-0") as old:
        batch = old.poll(10, 5.0)
        old.commit(batch.positions, tallies={("forwarded",): 1})
        with journal.consumer("g", ["b"], "worker-0"), pytest.raises(Fenced):
            old.commit({B0: 0}, tallies={("forwarded",): 7})
    assert journal.tallies() == {("forwarded",): 1}
    assert journal.committed("g") == {B0: 1}


def test_last(journal: Journal) -> None:
    assert journal.last(B0) is None
    journal.append("b", [Record(b"1"), Record(b"2")])
    newest = journal.last(B0)
    assert newest is not None
    assert (newest.offset, newest.value) == (1, b"2")
    journal.delete_before(B0, 2)
    assert journal.last(B0) is None


def test_delete_before_says_what_went(journal: Journal) -> None:
    """W-79, W-103: a drop is one step with its count and its notice."""
    for start in (0, 10, 20):
        journal.append("a", [Record(b"x" * 500 + b"%d" % i, timestamp=start + i, partition=0) for i in range(10)])
    before = journal.size("a")
    went = journal.delete_before(A0, 15, tallies={("dropped",): 15}, with_appends={"b": [Record(b"notice")]})
    assert (went.records, went.first_timestamp, went.last_timestamp) == (15, 0, 14)
    assert 0 < went.bytes == before - journal.size("a")
    assert journal.bounds("a")[A0] == (15, 30)
    assert [record.offset for record in journal.read(A0, 0)] == list(range(15, 30))
    assert journal.tallies() == {("dropped",): 15}
    assert values(journal, B0) == [b"notice"]
    assert journal.delete_before(A0, 15).records == 0
    rest = journal.delete_before(A0, 1_000)
    assert (rest.records, rest.first_timestamp, rest.last_timestamp) == (15, 15, 29)
    assert journal.bounds("a")[A0] == (30, 30)
    assert journal.size("a") == 0
    assert journal.append("a", [Record(b"", partition=0)]) == {A0: 31}


def test_a_reader_goes_on_after_what_was_deleted(journal: Journal) -> None:
    journal.append("b", [Record(b"%d" % i) for i in range(10)])
    with journal.consumer("g", ["b"], "worker-0") as consumer:
        assert len(consumer.poll(3, 5.0).records) == 3
        consumer.seek({B0: 0})
        journal.delete_before(B0, 7)
        assert [record.offset for record in consumer.poll(10, 5.0).records] == [7, 8, 9]


def test_retention_keeps_what_is_still_needed(journal: Journal) -> None:
    """PD-10: age deletes only below a watermark that somebody confirms."""
    journal.create([Topic("a", 2, times.HOUR)])
    now = times.now()
    for turn in range(6):
        journal.append("a", [Record(b"%d" % i, timestamp=now - 2 * times.HOUR, partition=turn % 2) for i in range(10)])
    went = journal.enforce_retention(now, {A0: 15, A1: 0})
    assert {at: deleted.records for at, deleted in went.items()} == {A0: 10}
    assert journal.bounds("a") == {A0: (10, 30), A1: (0, 30)}
    went = journal.enforce_retention(now)
    assert {at: deleted.records for at, deleted in went.items()} == {A0: 20, A1: 30}
    assert journal.enforce_retention(now) == {}


def test_retention_by_bytes_takes_the_oldest_of_all_partitions(journal: Journal) -> None:
    journal.create([Topic("a", 2, None, 30_000)])
    chance = random.Random(1)
    for turn in range(1200):
        journal.append("a", [Record(chance.randbytes(60), timestamp=turn, partition=turn % 2)])
    journal.enforce_retention(times.now())
    assert 29_000 < journal.size("a") <= 30_000
    (first0, end0), (first1, end1) = journal.bounds("a")[A0], journal.bounds("a")[A1]
    assert abs(first0 - first1) <= 1
    assert end0 == end1 == 600


def test_a_clock_that_runs_ahead_does_not_stop_retention(journal: Journal) -> None:
    """W-106: the time of the append bounds the age, whatever the record says."""
    journal.create([Topic("b", 1, times.HOUR)])
    journal.append("b", [Record(b"", timestamp=7_258_118_400 * times.SECOND)])
    journal.append("b", [Record(b"")])
    journal.enforce_retention(times.now() + 2 * times.HOUR)
    assert journal.bounds("b") == {B0: (2, 2)}


def test_space_is_used_again(journal: Journal) -> None:
    block = random.Random(1).randbytes(20_000)
    sizes = []
    for _ in range(6):
        for _ in range(100):
            journal.append("b", [Record(block)])
        sizes.append(journal.path.stat().st_size + salvage.beside(journal.path, "-wal").stat().st_size)
        journal.delete_before(B0, journal.bounds("b")[B0][1])
    assert max(sizes) < 20_000_000
    assert journal.path.stat().st_size < 6_000_000


# ---------------------------------------------------------------------- groups


def test_a_silent_member_loses_its_share_and_cannot_commit_it(engine: JournalEngine, tmp_path: Path) -> None:
    """PD-2: a stale holder can no longer move the group on."""
    journal = Journal(tmp_path / "log.db", session_seconds=0.3)
    journal.create([Topic("a", 2)])
    journal.append("a", [Record(b"", partition=partition) for partition in (0, 1)])
    silent = journal.consumer("g", ["a"], "worker-0")
    held = silent.poll(10, 5.0)
    while len(held.positions) < 2:
        held.positions |= silent.poll(10, 5.0).positions
    other = journal.consumer("g", ["a"], "worker-1")
    eventually(lambda: other.poll(10, 0.05) is not None and other.assignment() == {A0, A1})
    for _ in range(2):
        with pytest.raises(RetryLater, match="another member"):
            silent.commit(held.positions)
    assert journal.committed("g") == {}
    other.close()
    silent.close()
    journal.close()


def test_a_member_that_was_silent_reads_again_from_the_committed_position(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.db", session_seconds=0.3)
    journal.create([Topic("b")])
    journal.append("b", [Record(b"%d" % i) for i in range(4)])
    silent = journal.consumer("g", ["b"], "worker-0")
    assert len(silent.poll(4, 5.0).records) == 4
    with journal.consumer("g", ["b"], "worker-1") as other:
        eventually(lambda: other.poll(1, 0.05) is not None and other.assignment() == {B0})
        other.commit({B0: 2})
    seen: list[int] = []
    while not seen:
        seen += [record.offset for record in silent.poll(4, 0.05).records]
    assert seen == [2, 3]
    silent.close()
    journal.close()


def test_members_that_read_different_topics(journal: Journal) -> None:
    one = journal.consumer("g", ["a"], "worker-0")
    two = journal.consumer("g", ["a", "b"], "worker-1")
    eventually(lambda: (one.poll(1, 0.01), two.poll(1, 0.01), one.assignment() == {A0})[2])
    assert two.assignment() == {A1, B0}
    two.close()
    eventually(lambda: one.poll(1, 0.01) is not None and one.assignment() == {A0, A1})
    one.close()


def test_many_threads(journal: Journal) -> None:
    """One handle serves any number of threads."""

    def work(name: int) -> None:
        for i in range(40):
            journal.append_many({"a": [Record(b"%d" % i, key=b"%d" % name)]}, tallies={("n",): 1})
            journal.read(A0, 0, 10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    records = [*journal.read(A0, 0, 1000), *journal.read(A1, 0, 1000)]
    for name in range(8):
        assert [int(record.value) for record in records if record.key == b"%d" % name] == list(range(40))
    assert journal.tallies() == {("n",): 320}


# ---------------------------------------------------------------------- sizes


def test_appends_beyond_one_batch_are_one_step(journal: Journal) -> None:
    records = [Record(b"%d" % i) for i in range(10_000)] + [Record(b"y" * 900_000) for _ in range(3)]
    journal.append("b", records)
    assert values(journal, B0) == [record.value for record in records]


def test_the_ceiling_rises_with_the_offsets(engine: JournalEngine, journal: Journal) -> None:
    """The marks stay ahead of every offset given out, also across processes."""
    journal.store.write(lambda db: db.execute(schema.UPDATE_LANE, (journal._place("b").lane, STEP - 2, STEP - 2, 0)))
    assert journal.append("b", [Record(b"")] * 5) == {B0: STEP + 3}
    assert journal.store.marks.ceiling > STEP + 3
    with engine.open() as again:
        assert again.store.marks.ceiling == journal.store.marks.ceiling
        assert again.append("b", [Record(b"")]) == {B0: STEP + 4}

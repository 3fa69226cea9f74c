"""What every log engine does: a suite that each of them runs unchanged (port: `trunkline.log.port`).

A test module of an engine subclasses `LogBehaviour` and provides a fixture `engine`, an `Engine` on a fresh, empty log. Waits are for
conditions, never for times, so that an engine that rebalances over a network passes as well.
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import pytest

from trunkline.log.partitioner import murmur2, partition_of
from trunkline.log.port import Consumer, Log, Record, StoredRecord, Topic, TopicPartition
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, Rejected

PATIENCE = 30.0


class Engine(Protocol):
    """One log under test."""

    max_record_bytes: int

    def open(self) -> Log:
        """Return a new handle on the log."""
        ...

    def source(self) -> str:
        """Return Python statements that open the log as `log`, for other processes."""
        ...

    def enforce_retention(self, log: Log, now: int) -> None:
        """Make the engine apply retention as if it were `now`."""
        ...


@pytest.fixture
def log(engine: Engine) -> Iterator[Log]:
    opened = engine.open()
    yield opened
    opened.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


def take(consumer: Consumer, wanted: int, max_records: int = 1000) -> list[StoredRecord]:
    """Poll until `wanted` records came."""
    records: list[StoredRecord] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < wanted:
        assert time.monotonic() < deadline, f"{len(records)} of {wanted} records came"
        records += consumer.poll(max_records, 0.2).records
    return records


def commit_all(consumer: Consumer, records: list[StoredRecord]) -> None:
    consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1 for record in records})


def everything(log: Log, topic: str) -> dict[int, list[StoredRecord]]:
    """Read a whole topic, by partition."""
    found: dict[int, list[StoredRecord]] = defaultdict(list)
    for at, (first, end) in log.bounds(topic).items():
        offset = first
        while offset < end:
            records = log.read(at, offset)
            if not records:
                break
            found[at.partition] += records
            offset = records[-1].offset + 1
    return found


def run(engine: Engine, script: str) -> subprocess.Popen[str]:
    """Start a process that has the log open as `log`."""
    return subprocess.Popen([sys.executable, "-c", f"{engine.source()}\n{script}"], stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=PATIENCE * 2)
    assert process.returncode == 0
    return out


class LogBehaviour:
    """The suite."""

    # ------------------------------------------------------------------ topics

    def test_topics_are_created_once(self, log: Log) -> None:
        """PD-18: a partition count never changes in place."""
        log.create([Topic("a", 3, times.HOUR, 1_500_000), Topic("b")])
        log.create([Topic("a", 3, 2 * times.HOUR, 3_000_000)])
        assert log.topics()["a"] == Topic("a", 3, 2 * times.HOUR, 3_000_000)
        assert log.topics()["b"].partitions == 1
        with pytest.raises(Misconfigured, match="3 partitions"):
            log.create([Topic("a", 4)])

    def test_unknown_topics_and_partitions_are_refused(self, log: Log) -> None:
        log.create([Topic("a", 2)])
        with pytest.raises(Misconfigured, match="nosuch"):
            log.append("nosuch", [Record(b"1")])
        with pytest.raises(Misconfigured, match="partition 2"):
            log.append("a", [Record(b"1", partition=2)])
        with pytest.raises(Misconfigured, match="nosuch"):
            log.consumer("g", ["nosuch"], "worker-0")
        assert everything(log, "a") == {}

    def test_a_topic_has_an_identity(self, engine: Engine, log: Log) -> None:
        """Positions kept elsewhere are positions in one log: whoever keeps them can tell."""
        log.create([Topic("a"), Topic("b")])
        other = engine.open()
        assert log.identity("a") == other.identity("a") != ""
        other.close()
        with pytest.raises(Misconfigured, match="nosuch"):
            log.identity("nosuch")

    # ------------------------------------------------------------------ append and read

    def test_a_record_comes_back_as_it_went(self, log: Log) -> None:
        log.create([Topic("a")])
        record = Record(b"value\x00", b"key", (("h", b"1"), ("h", b"2"), ("ünï", b"")), 1_700_000_000_000_000)
        assert log.append("a", [record, Record(b"")]) == {TopicPartition("a", 0): 2}
        first, second = log.read(TopicPartition("a", 0), 0)
        assert first == StoredRecord("a", 0, 0, record.timestamp or 0, record.key, record.value, record.headers)
        assert first.header("h") == b"1"
        assert (second.value, second.key, second.headers) == (b"", None, ())
        assert abs(second.timestamp - times.now()) < times.HOUR

    def test_offsets_count_from_0(self, log: Log) -> None:
        log.create([Topic("a")])
        at = TopicPartition("a", 0)
        assert log.bounds("a") == {at: (0, 0)}
        for start in (0, 3, 6):
            assert log.append("a", [Record(b"%d" % (start + i), partition=0) for i in range(3)]) == {at: start + 3}
        assert log.bounds("a") == {at: (0, 9)}
        assert [(record.offset, record.value) for record in log.read(at, 4)] == [(i, b"%d" % i) for i in range(4, 9)]
        assert [record.offset for record in log.read(at, 2, 3)] == [2, 3, 4]
        assert log.read(at, 9) == []
        assert log.append("a", []) == {}

    def test_keys_choose_partitions_as_kafka_does(self, log: Log) -> None:
        """P-29, PD-16: murmur2, with the values of Kafka's own UtilsTest."""
        vectors = {
            b"21": -973932308,
            b"foobar": -790332482,
            b"a-little-bit-long-string": -985981536,
            b"a-little-bit-longer-string": -1486304829,
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
            b"abc": 479470107,
        }
        for key, expected in vectors.items():
            assert murmur2(key) == expected % (1 << 32)
        log.create([Topic("a", 7)])
        log.append("a", [Record(b"", key) for key in vectors])
        for partition, records in everything(log, "a").items():
            assert all(partition_of(record.key or b"", 7) == partition for record in records)
        assert sum(map(len, everything(log, "a").values())) == len(vectors)

    def test_a_partition_of_the_writers_choice_wins(self, log: Log) -> None:
        log.create([Topic("a", 4)])
        log.append("a", [Record(b"", b"foobar", partition=partition) for partition in range(4)])
        assert {partition: len(records) for partition, records in everything(log, "a").items()} == {0: 1, 1: 1, 2: 1, 3: 1}

    def test_keyless_records_are_spread(self, log: Log) -> None:
        log.create([Topic("a", 3)])
        for _ in range(60):
            log.append("a", [Record(b"x")])
        assert sum(map(len, everything(log, "a").values())) == 60

    def test_large_records(self, engine: Engine, log: Log) -> None:
        """A record too large is refused with its row; nothing of the call is stored. The largest one passes."""
        log.create([Topic("a")])
        largest = Record(b"x" * (engine.max_record_bytes - 1000))
        with pytest.raises(Rejected) as caught:
            log.append("a", [Record(b"1"), Record(b"x" * (engine.max_record_bytes + 1)), Record(b"2")])
        assert caught.value.rows == (1,)
        assert log.bounds("a") == {TopicPartition("a", 0): (0, 0)}
        log.append("a", [largest, Record(b"2")])
        assert log.read(TopicPartition("a", 0), 0, 1)[0].value == largest.value

    def test_many_records_in_one_call(self, log: Log) -> None:
        log.create([Topic("a", 2)])
        records = [Record(b"%d" % i, key=b"%d" % (i % 50)) for i in range(20_000)]
        log.append("a", records)
        found = everything(log, "a")
        assert sorted(int(record.value) for records in found.values() for record in records) == list(range(20_000))
        for partition in found.values():
            assert [record.offset for record in partition] == list(range(len(partition)))

    # ------------------------------------------------------------------ groups

    def test_a_group_reads_everything_in_order_per_key(self, log: Log) -> None:
        """P-29: order per key is kept from append to poll."""
        log.create([Topic("a", 4)])
        for start in range(0, 1000, 50):
            log.append("a", [Record(b"%d" % i, key=b"k%d" % (i % 13)) for i in range(start, start + 50)])
        with log.consumer("g", ["a"], "worker-0") as consumer:
            records = take(consumer, 1000, 37)
        by_key: dict[bytes | None, list[int]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(int(record.value))
        assert len(by_key) == 13
        assert all(values == sorted(values) for values in by_key.values())
        assert sorted(value for values in by_key.values() for value in values) == list(range(1000))

    def test_a_batch_is_in_partition_order_and_bounded(self, log: Log) -> None:
        log.create([Topic("a", 3)])
        log.append("a", [Record(b"%d" % i, partition=i % 3) for i in range(300)])
        with log.consumer("g", ["a"], "worker-0") as consumer:
            seen = 0
            while seen < 300:
                batch = consumer.poll(40, 1.0)
                assert len(batch.records) <= 40
                partitions = [record.partition for record in batch.records]
                assert len({*partitions}) == 1 + sum(one != two for one, two in pairwise(partitions)) or not partitions
                for at, offset in batch.positions.items():
                    ends = [record.offset + 1 for record in batch.records if record.partition == at.partition]
                    assert not ends or offset >= ends[-1]
                seen += len(batch.records)

    def test_an_empty_poll_comes_back(self, log: Log) -> None:
        log.create([Topic("a")])
        with log.consumer("g", ["a"], "worker-0") as consumer:
            assert not consumer.poll(10, 0.0)
            assert not consumer.poll(10, 0.05)

    def test_positions_survive_and_groups_are_apart(self, engine: Engine, log: Log) -> None:
        log.create([Topic("a")])
        at = TopicPartition("a", 0)
        log.append("a", [Record(b"%d" % i) for i in range(10)])
        assert log.committed("g") == {}
        with log.consumer("g", ["a"], "worker-0") as consumer:
            assert len(take(consumer, 10)) == 10
            consumer.commit({at: 4})
        assert log.committed("g") == {at: 4}
        assert log.committed("other") == {}
        again = engine.open()
        with again.consumer("g", ["a"], "worker-0") as consumer:
            assert [record.offset for record in take(consumer, 6)] == list(range(4, 10))
        with again.consumer("other", ["a"], "worker-0") as consumer:
            assert len(take(consumer, 10)) == 10
        again.close()

    def test_uncommitted_records_are_delivered_again(self, log: Log) -> None:
        """P-73: a position moves only by commit."""
        log.create([Topic("a")])
        log.append("a", [Record(b"%d" % i) for i in range(5)])
        for _ in range(2):
            with log.consumer("g", ["a"], "worker-0") as consumer:
                assert [record.offset for record in take(consumer, 5)] == list(range(5))

    def test_seek_replays(self, log: Log) -> None:
        """W-4: any consumer can read history again from a point it chooses."""
        log.create([Topic("a", 2)])
        log.append("a", [Record(b"%d" % i, partition=i % 2) for i in range(20)])
        with log.consumer("g", ["a"], "worker-0") as consumer:
            commit_all(consumer, take(consumer, 20, 3))
            consumer.seek({TopicPartition("a", 0): 0, TopicPartition("a", 1): 8})
            again = take(consumer, 12, 3)
            assert sorted((record.partition, record.offset) for record in again) == [*((0, i) for i in range(10)), (1, 8), (1, 9)]
            consumer.seek({TopicPartition("a", 0): 9})
            assert [record.offset for record in take(consumer, 1)] == [9]

    def test_a_waiting_poll_sees_new_records(self, engine: Engine, log: Log) -> None:
        log.create([Topic("a")])
        with log.consumer("g", ["a"], "worker-0") as consumer:
            consumer.poll(10, 0.0)
            writer = run(engine, "from trunkline.log.port import Record\nlog.append('a', [Record(b'hello')])\nlog.close()")
            assert [record.value for record in take(consumer, 1)] == [b"hello"]
            finished(writer)

    def test_members_share_the_partitions(self, log: Log) -> None:
        log.create([Topic("a", 5)])
        whole = {TopicPartition("a", partition) for partition in range(5)}
        one = log.consumer("g", ["a"], "worker-0")
        eventually(lambda: one.poll(10, 0.05) is not None and one.assignment() == whole)
        two = log.consumer("g", ["a"], "worker-1")

        def shared() -> bool:
            one.poll(10, 0.02)
            two.poll(10, 0.02)
            return bool(one.assignment()) and bool(two.assignment()) and one.assignment() | two.assignment() == whole

        eventually(shared)
        assert not one.assignment() & two.assignment()
        log.append("a", [Record(b"%d" % i, partition=i % 5) for i in range(50)])
        records: list[StoredRecord] = []
        while len(records) < 50:
            records += [*one.poll(100, 0.02).records, *two.poll(100, 0.02).records]
        assert sorted(int(record.value) for record in records) == list(range(50))
        one.close()
        eventually(lambda: two.poll(10, 0.05) is not None and two.assignment() == whole)
        two.close()

    def test_a_share_that_moves_goes_on_from_the_committed_position(self, log: Log) -> None:
        log.create([Topic("a", 2)])
        log.append("a", [Record(b"%d" % i, partition=i % 2) for i in range(20)])
        one = log.consumer("g", ["a"], "worker-0")
        records = take(one, 20)
        one.commit({TopicPartition("a", 0): 10, TopicPartition("a", 1): 3})
        assert len(records) == 20
        one.close()
        with log.consumer("g", ["a"], "worker-1") as two:
            assert [(record.partition, record.offset) for record in take(two, 7)] == [(1, i) for i in range(3, 10)]

    # ------------------------------------------------------------------ exactly once

    def test_positions_and_appends_are_one_step(self, log: Log) -> None:
        log.create([Topic("in"), Topic("out")])
        log.append("in", [Record(b"%d" % i) for i in range(6)])
        with log.consumer("g", ["in"], "worker-0") as consumer:
            batch = consumer.poll(6, 5.0)
            consumer.commit(batch.positions, with_appends={"out": [Record(b"out-" + record.value) for record in batch.records]})
        assert log.committed("g") == {TopicPartition("in", 0): batch.records[-1].offset + 1}
        assert [record.value for record in log.read(TopicPartition("out", 0), 0)] == [b"out-" + record.value for record in batch.records]

    def test_a_refused_append_leaves_the_positions(self, engine: Engine, log: Log) -> None:
        log.create([Topic("in"), Topic("out")])
        log.append("in", [Record(b"1")])
        with log.consumer("g", ["in"], "worker-0") as consumer:
            batch = consumer.poll(1, 5.0)
            with pytest.raises(Rejected):
                consumer.commit(batch.positions, with_appends={"out": [Record(b"ok"), Record(b"x" * (engine.max_record_bytes + 1))]})
            with pytest.raises(Misconfigured):
                consumer.commit(batch.positions, with_appends={"out": [Record(b"ok")], "nosuch": [Record(b"1")]})
            assert log.committed("g") == {}
            assert log.bounds("out") == {TopicPartition("out", 0): (0, 0)}
            consumer.commit(batch.positions)

    def test_a_replaced_member_is_fenced(self, engine: Engine, log: Log) -> None:
        """PD-21: whoever joined last under a name owns it; the one before can neither poll, commit nor append."""
        log.create([Topic("in"), Topic("out")])
        log.append("in", [Record(b"%d" % i) for i in range(4)])
        old = log.consumer("g", ["in"], "worker-0")
        batch = old.poll(4, 5.0)
        second = engine.open()
        new = second.consumer("g", ["in"], "worker-0")
        assert len(take(new, 4)) == 4
        with pytest.raises(Fenced):
            old.commit(batch.positions, with_appends={"out": [Record(b"zombie")]})
        with pytest.raises(Fenced):
            old.poll(4, 0.1)
        assert log.committed("g") == {}
        assert everything(log, "out") == {}
        new.commit(batch.positions, with_appends={"out": [Record(b"once")]})
        assert [record.value for record in everything(log, "out")[0]] == [b"once"]
        old.close()
        new.close()
        second.close()

    # ------------------------------------------------------------------ several processes

    def test_many_writers_and_readers(self, engine: Engine, log: Log) -> None:
        """Four processes append to and two step processes copy a topic at once; every record arrives once, in order per key."""
        log.create([Topic("in", 4), Topic("out", 4)])
        writing = """
from trunkline.log.port import Record
for i in range(60):
    log.append("in", [Record(b"%d" % (i * 5 + j), key=b"writer-{name}-%d" % (j % 3)) for j in range(5)])
log.close()
"""
        copying = """
from trunkline.log.port import Record
from trunkline.model.errors import Fenced, RetryLater
while "copied" not in log.topics():
    try:
        with log.consumer("copy", ["in"], "copier-{name}") as consumer:
            while "copied" not in log.topics():
                batch = consumer.poll(50, 0.1)
                if batch.records:
                    consumer.commit(batch.positions, with_appends={{"out": [Record(r.value, r.key) for r in batch.records]}})
    except (Fenced, RetryLater):
        pass
log.close()
"""
        processes = [run(engine, writing.format(name=name)) for name in range(4)]
        processes += [run(engine, copying.format(name=name)) for name in range(2)]
        try:
            eventually(lambda: sum(map(len, everything(log, "out").values())) >= 1200)
        finally:
            log.create([Topic("copied")])
        for process in processes:
            finished(process)
        arrived: dict[bytes | None, list[int]] = defaultdict(list)
        for records in everything(log, "out").values():
            for record in records:
                arrived[record.key].append(int(record.value))
        assert len(arrived) == 12
        for key, values in arrived.items():
            lane = int((key or b"").rsplit(b"-", 1)[1])
            assert values == [i * 5 + j for i in range(60) for j in range(5) if j % 3 == lane]

    # ------------------------------------------------------------------ retention, reopening

    def test_retention_by_age(self, engine: Engine, log: Log) -> None:
        log.create([Topic("a", 1, times.HOUR), Topic("kept", 1)])
        at = TopicPartition("a", 0)
        now = times.now()
        for age in (3, 2, 0):
            for topic in ("a", "kept"):
                log.append(topic, [Record(b"x" * 100, timestamp=now - age * times.HOUR + i) for i in range(10)])
        engine.enforce_retention(log, now)
        eventually(lambda: log.bounds("a")[at] == (20, 30))
        assert [record.offset for record in log.read(at, 0)] == list(range(20, 30))
        assert log.bounds("kept")[TopicPartition("kept", 0)] == (0, 30)
        with log.consumer("g", ["a"], "worker-0") as consumer:
            assert [record.offset for record in take(consumer, 10)] == list(range(20, 30))

    def test_reopening_goes_on(self, engine: Engine) -> None:
        at = TopicPartition("a", 0)
        for turn in range(3):
            log = engine.open()
            log.create([Topic("a")])
            assert log.append("a", [Record(b"%d" % turn)]) == {at: turn + 1}
            log.close()
        log = engine.open()
        assert [record.value for record in log.read(at, 0)] == [b"0", b"1", b"2"]
        log.close()

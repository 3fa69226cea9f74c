"""Apache Kafka: the behaviour of every log, and what only Kafka has."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType
from tests.log.behaviour import LogBehaviour, commit_all, eventually, everything, log, take
from tests.log.kafka_engine import KafkaEngine, config_of

from trunkline.lab.kafka import Cluster
from trunkline.log.kafka.consumer import KafkaConsumer
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.partitioner import murmur2, partition_of
from trunkline.log.port import Batch, Record, Topic, TopicPartition
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, Rejected, RetryLater

__all__ = ["log"]


@pytest.fixture
def engine(kafka: Cluster, topic_prefix: str) -> KafkaEngine:
    return KafkaEngine(kafka.bootstrap, topic_prefix)


class TestKafka(LogBehaviour):
    """The suite of all engines, on a real broker."""


@pytest.fixture
def plain(kafka: Cluster) -> Iterator[KafkaLog]:
    """A log without a prefix."""
    with KafkaLog(config_of(kafka.bootstrap)) as opened:
        yield opened


@pytest.fixture
def admin(kafka: Cluster) -> AdminClient:
    return AdminClient({**kafka.client_settings()})


def values(log: KafkaLog, topic: str) -> list[bytes]:
    return [record.value for records in everything(log, topic).values() for record in records]


def first_batch(consumer: KafkaConsumer, max_records: int = 1000) -> Batch:
    batch = Batch()
    while not batch.records:
        batch = consumer.poll(max_records, 0.2)
    return batch


def set_limit(admin: AdminClient, topic: str, limit: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result()

    def seen() -> bool:
        (entries,) = [asked.result() for asked in admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()]
        return bool(entries["max.message.bytes"].value == str(limit))

    eventually(seen)


def refused_as_unknown(log: KafkaLog, topic: str) -> bool:
    with pytest.raises((Misconfigured, RetryLater)) as caught:
        log.append(topic, [Record(b"2")])
    return f"no topic '{topic}'" in str(caught.value)


# ---------------------------------------------------------------------- topics


def test_partitions_added_by_somebody_else_are_refused(plain: KafkaLog, admin: AdminClient, topic_prefix: str) -> None:
    """PD-18: keys would move. Who is running goes on to the partitions that it knows; who starts is told."""
    name = f"{topic_prefix}a"
    plain.create([Topic(name, 2)])
    keys = [b"%d" % i for i in range(50)]
    plain.append(name, [Record(b"before", key) for key in keys])
    admin.create_partitions([NewPartitions(name, 5)])[name].result()
    eventually(lambda: len(admin.list_topics(timeout=10).topics[name].partitions) == 5)
    with pytest.raises(Misconfigured, match=r"has 5 partitions and cannot have 2: keys would move"):
        plain.create([Topic(name, 2)])
    with pytest.raises(Misconfigured, match="5 partitions"):
        plain.missing([Topic(name, 2)])
    plain.append(name, [Record(b"after", key) for key in keys])
    for partition, records in everything(plain, name).items():
        assert partition < 2
        assert all(partition_of(record.key or b"", 2) == partition for record in records)


def test_a_topic_made_anew_is_another_one(plain: KafkaLog, admin: AdminClient, topic_prefix: str) -> None:
    name = f"{topic_prefix}a"
    plain.create([Topic(name)])
    before = plain.identity(name)
    admin.delete_topics([name])[name].result()
    eventually(lambda: name not in admin.list_topics(timeout=10).topics)
    plain.create([Topic(name)])
    assert plain.identity(name) != before


def test_a_topic_that_vanishes_is_a_misconfiguration(plain: KafkaLog, admin: AdminClient, topic_prefix: str) -> None:
    name = f"{topic_prefix}a"
    plain.create([Topic(name)])
    plain.append(name, [Record(b"1")])
    admin.delete_topics([name])[name].result()
    eventually(lambda: name not in admin.list_topics(timeout=10).topics)
    eventually(lambda: refused_as_unknown(plain, name))
    with pytest.raises(Misconfigured, match=f"no topic '{name}'"):
        plain.bounds(name)


def test_a_topic_that_takes_less_refuses_the_record(plain: KafkaLog, admin: AdminClient, topic_prefix: str) -> None:
    """Also when the limit was lowered while the writer ran; nothing of the call is stored."""
    name = f"{topic_prefix}a"
    plain.create([Topic(name)])
    set_limit(admin, name, 2000)
    with pytest.raises(Rejected) as caught:
        plain.append(name, [Record(b"1"), Record(bytes(range(256)) * 10), Record(b"2")])
    assert caught.value.rows == (1,)
    assert plain.bounds(name) == {TopicPartition(name, 0): (0, 0)}
    set_limit(admin, name, 100)
    # incompressible, below the limit that the writer knows
    with pytest.raises(Rejected):
        plain.append(name, [Record(bytes(range(256)))])
    assert plain.bounds(name) == {TopicPartition(name, 0): (0, 0)}


def test_retention_is_in_kafkas_units(plain: KafkaLog, admin: AdminClient, topic_prefix: str) -> None:
    name = f"{topic_prefix}a"
    plain.create([Topic(name, 4, times.DAY, 4_000_000)])
    resource = ConfigResource(ResourceType.TOPIC, name)
    (entries,) = [asked.result() for asked in admin.describe_configs([resource]).values()]
    assert {key: entries[key].value for key in ("retention.ms", "retention.bytes", "segment.ms")} == {
        "retention.ms": "86400000",
        "retention.bytes": "1000000",
        "segment.ms": "3600000",
    }


# ---------------------------------------------------------------------- appending

#: Of org.apache.kafka.common.utils.Utils.murmur2: key, hash, partition of 200, partition of 12.
VECTORS = [
    ("PLANT01.AREA02.UNIT_05.FLOW_RATE", 0x4E57E55B, 195, 11),
    ("PLANT01.AREA02.UNIT_05.TEMPERATURE", 0xC1E23D5E, 86, 2),
    ("PLANT01.AREA01.UNIT_01.PRESSURE", 0x0D6357C6, 142, 10),
    ("a", 0xA2D0B27C, 124, 4),
    ("ab", 0x12D8262A, 34, 2),
    ("abc", 0x1C94221B, 107, 3),
    ("abcd", 0xB11AB5F4, 100, 8),
    ("21", 0xC5F2F8EC, 140, 0),
    ("foobar", 0xD0E47BBE, 166, 6),
    ("", 0x106E08D9, 81, 9),
    ("Anlage-Ü.Temperatur", 0x517974FD, 101, 1),
    ("温度", 0xFD61A960, 152, 4),
]


def test_keys_go_where_other_clients_put_them(plain: KafkaLog, kafka: Cluster, topic_prefix: str) -> None:
    """P-29, PD-16: equal to Java's partitioner, and to another client's implementation of it on the same topic."""
    name = f"{topic_prefix}a"
    plain.create([Topic(name, 12)])
    other = Producer({**kafka.client_settings(), "partitioner": "murmur2_random"})
    for key, digest, of_200, of_12 in VECTORS:
        data = key.encode()
        assert (murmur2(data), partition_of(data, 200), partition_of(data, 12)) == (digest, of_200, of_12)
        other.produce(name, b"theirs", data)
    assert other.flush(30) == 0
    plain.append(name, [Record(b"ours", key.encode()) for key, *_ in VECTORS])
    places = {value: Counter[tuple[bytes | None, int]]() for value in (b"ours", b"theirs")}
    for partition, records in everything(plain, name).items():
        for record in records:
            places[record.value][record.key, partition] += 1
    assert places[b"ours"] == places[b"theirs"]
    assert places[b"ours"] == Counter((key.encode(), of_12) for key, _, _, of_12 in VECTORS)


def test_an_append_that_need_not_be_atomic_leaves_no_gaps(plain: KafkaLog, topic_prefix: str) -> None:
    name = f"{topic_prefix}a"
    plain.create([Topic(name, 3)])
    for turn in range(3):
        done = plain.append(name, [Record(b"%d" % i, partition=i % 3) for i in range(30)], atomic=False)
        assert done == {TopicPartition(name, partition): 10 * (turn + 1) for partition in range(3)}
    assert {len(records) for records in everything(plain, name).values()} == {30}


def test_what_an_open_transaction_holds_is_unseen(plain: KafkaLog, kafka: Cluster, topic_prefix: str) -> None:
    name = f"{topic_prefix}a"
    plain.create([Topic(name)])
    at = TopicPartition(name, 0)
    plain.append(name, [Record(b"before")])
    other = Producer({**kafka.client_settings(), "transactional.id": f"{topic_prefix}other"})
    other.init_transactions(30)
    for value, end in ((b"undone", other.abort_transaction), (b"done", other.commit_transaction)):
        other.begin_transaction()
        other.produce(name, value)
        assert other.flush(30) == 0
        assert plain.read(at, 1) == []
        assert plain.bounds(name)[at][1] < 4
        end(30)
    assert values(plain, name) == [b"before", b"done"]
    # before, undone, its marker, done, its marker
    assert plain.bounds(name) == {at: (0, 5)}
    assert plain.read(at, 4) == []


# ---------------------------------------------------------------------- groups


def test_positions_pass_the_markers_of_transactions(plain: KafkaLog, topic_prefix: str) -> None:
    """A group that has read everything is nothing behind, although markers take offsets."""
    name, group = f"{topic_prefix}a", f"{topic_prefix}g"
    plain.create([Topic(name, 2)])
    for i in range(3):
        plain.append(name, [Record(b"%d" % i, partition=0), Record(b"%d" % i, partition=1)])
    ends = {at: end for at, (_, end) in plain.bounds(name).items()}
    assert set(ends.values()) == {6}

    def follow(consumer: KafkaConsumer) -> bool:
        batch = consumer.poll(10, 0.1)
        if batch:
            consumer.commit(batch.positions)
        return plain.committed(group) == ends

    with plain.consumer(group, [name], "one") as consumer:
        eventually(lambda: follow(consumer))
    # somebody who stopped after the last record and before the marker
    with plain.consumer(group, [name], "one") as consumer:
        consumer.poll(1, 1.0)
        commit_all(consumer, [record for at in ends for record in plain.read(at, 4, 1)])
        assert set(plain.committed(group).values()) == {5}
    with plain.consumer(group, [name], "one") as consumer:
        eventually(lambda: follow(consumer))


def test_a_poll_in_which_the_share_changes_brings_no_records(plain: KafkaLog, topic_prefix: str) -> None:
    """A sink with positions of its own seeks before anything is handed over."""
    name, group = f"{topic_prefix}a", f"{topic_prefix}g"
    plain.create([Topic(name, 4)])
    plain.append(name, [Record(b"%d" % i, partition=i % 4) for i in range(400)])
    one = plain.consumer(group, [name], "one")
    assert len(one.assignment()) == 4
    two = plain.consumer(group, [name], "two")
    known: dict[int, set[TopicPartition]] = {1: one.assignment(), 2: two.assignment()}

    def step(place: int, consumer: KafkaConsumer) -> None:
        batch = consumer.poll(7, 0.05)
        if consumer.assignment() != known[place]:
            assert not batch
            known[place] = consumer.assignment()
        assert {TopicPartition(record.topic, record.partition) for record in batch.records} <= known[place]

    def balanced() -> bool:
        step(1, one)
        step(2, two)
        return [len(known[1]), len(known[2])] == [2, 2]

    eventually(balanced)
    one.close()
    two.close()


def test_a_quick_restart_moves_nothing(plain: KafkaLog, topic_prefix: str) -> None:
    """Static membership: the other member keeps its share without a pause, and the restarted one has its own again."""
    name, group = f"{topic_prefix}a", f"{topic_prefix}g"
    plain.create([Topic(name, 4)])
    one, two = plain.consumer(group, [name], "one"), plain.consumer(group, [name], "two")

    def balanced() -> bool:
        one.poll(10, 0.05)
        two.poll(10, 0.05)
        return [len(one.assignment()), len(two.assignment())] == [2, 2]

    eventually(balanced)
    shares = one.assignment(), two.assignment()
    one.close()
    again = plain.consumer(group, [name], "one")
    for _ in range(10):
        two.poll(10, 0.1)
        again.poll(10, 0.05)
        assert (again.assignment(), two.assignment()) == shares
    again.close()
    two.close()


def test_a_rebalance_in_mid_batch(plain: KafkaLog, topic_prefix: str) -> None:
    """Somebody joins while a batch is being dealt with: it is committed or undone as a whole, and everything is copied once."""
    source, target, group = f"{topic_prefix}in", f"{topic_prefix}out", f"{topic_prefix}g"
    plain.create([Topic(source, 4), Topic(target, 4)])
    plain.append(source, [Record(b"%d" % i, partition=i % 4) for i in range(400)])
    one = plain.consumer(group, [source], "one", appends=[target])
    members = [one]
    batch = first_batch(one, 50)
    joining = threading.Thread(target=lambda: members.append(plain.consumer(group, [source], "two", appends=[target])))
    joining.start()
    while joining.is_alive() or len(values(plain, target)) < 400 or any(len(one.assignment()) != 2 for one in members):
        for member in tuple(members):
            pending = batch if member is one and batch else member.poll(50, 0.05)
            try:
                member.commit(pending.positions, with_appends={target: [Record(one.value) for one in pending.records]})
            except RetryLater:
                # the share went elsewhere: who has it now begins where the last commit ended
                member.seek(plain.committed(group))
            if member is one:
                batch = Batch()
    joining.join()
    assert Counter(values(plain, target)) == Counter(b"%d" % i for i in range(400))
    for member in members:
        member.close()


def test_a_zombie_in_a_transaction_is_fenced(kafka: Cluster, plain: KafkaLog, topic_prefix: str) -> None:
    """PD-21: of two that hold transactions under one name, the older can commit nothing any more."""
    source, target, group = f"{topic_prefix}in", f"{topic_prefix}out", f"{topic_prefix}g"
    plain.create([Topic(source), Topic(target)])
    plain.append(source, [Record(b"%d" % i) for i in range(4)])
    old = plain.consumer(group, [source], "one", appends=[target])
    batch = first_batch(old, 2)
    old.commit(batch.positions, with_appends={target: [Record(b"first")]})
    rest = first_batch(old)
    with KafkaLog(config_of(kafka.bootstrap)) as second, second.consumer(group, [source], "one", appends=[target]) as new:
        assert [record.offset for record in take(new, 2)] == [2, 3]
        with pytest.raises(Fenced, match="another holder took over member 'one'"):
            old.commit(rest.positions, with_appends={target: [Record(b"zombie")]})
        with pytest.raises(Fenced):
            old.poll(1, 0.0)
        with pytest.raises(Fenced):
            old.commit(rest.positions)
        old.close()
        new.commit(rest.positions, with_appends={target: [Record(b"second")]})
    assert values(plain, target) == [b"first", b"second"]


def test_a_zombie_without_appends_is_fenced(kafka: Cluster, plain: KafkaLog, topic_prefix: str) -> None:
    name, group = f"{topic_prefix}a", f"{topic_prefix}g"
    plain.create([Topic(name)])
    plain.append(name, [Record(b"1"), Record(b"2")])
    old = plain.consumer(group, [name], "one")
    batch = first_batch(old)
    with KafkaLog(config_of(kafka.bootstrap)) as second, second.consumer(group, [name], "one") as new:
        with pytest.raises(Fenced):
            old.commit(batch.positions)
        assert plain.committed(group) == {}
        assert len(take(new, 2)) == 2
        other = plain.consumer(f"{group}2", [name], "one")
        third = second.consumer(f"{group}2", [name], "one")

        def polled() -> bool:
            try:
                other.poll(1, 0.1)
            except Fenced:
                return True
            return False

        eventually(polled)
        third.close()
        other.close()
    old.close()


def test_a_commit_by_hand_of_what_is_not_held_is_refused(plain: KafkaLog, topic_prefix: str) -> None:
    name, group = f"{topic_prefix}a", f"{topic_prefix}g"
    plain.create([Topic(name)])
    with plain.consumer(group, [name], "one") as consumer:
        with pytest.raises(RetryLater, match="nothing was stored"):
            consumer.commit({TopicPartition(name, 1): 1})
        consumer.seek({TopicPartition(name, 1): 1})
        assert not consumer.poll(1, 0.0)
    with pytest.raises(RetryLater, match="join again"):
        consumer.poll(1, 0.0)
    assert plain.committed(group) == {}

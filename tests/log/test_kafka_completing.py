"""What brokers left of a transaction is completed as its coordinator decided (decision 0010).

The state that KAFKA-20734 leaves is made on purpose here: a broker that does not verify partitions takes positions for a transaction
that is over, and no marker ever comes for them. `test_kafka_faults.py` lets a broker make it by itself.
"""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from tests.log.behaviour import eventually, everything
from tests.log.kafka_engine import config_of

from trunkline.lab.kafka import Cluster
from trunkline.log.kafka import completing
from trunkline.log.kafka.completing import Completion
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.kafka.producing import Interrupted, Transactor
from trunkline.log.kafka.records import Outgoing
from trunkline.log.kafka.settings import Connection
from trunkline.log.kafka.wire import BrokerConnection, Reader, compact, compact_array
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import RetryLater

_TXN_OFFSET_COMMIT = (28, 3)
IN, OUT = TopicPartition("in", 0), TopicPartition("out", 0)


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that takes whatever a transaction sends."""
    settings = {"transaction.partition.verification.enable": "false", "group.min.session.timeout.ms": "1000"}
    with Cluster(tmp_path_factory.mktemp("trusting"), settings=settings) as cluster:
        with KafkaLog(config_of(cluster.bootstrap)) as log:
            log.create([Topic("in"), Topic("out")])
            log.append("in", [Record(b"%d" % i) for i in range(9)])
        yield cluster


def transactor(cluster: Cluster, group: str) -> Transactor:
    return Transactor(Connection(config_of(cluster.bootstrap)), f"{group}.one", group, [OUT])


def last_of(cluster: Cluster, group: str) -> completing._Last:
    completion = Completion({"bootstrap.servers": cluster.bootstrap}, f"{group}.one", group, 10.0)
    found = completion._settled()
    completion._hang_up()
    assert found is not None
    return found


def leave_positions_pending(cluster: Cluster, group: str, position: int) -> None:
    """Send positions for the group's last transaction, which is over already."""
    last = last_of(cluster, group)
    partition = struct.pack(">iqi", 0, position, -1) + b"\0\0"
    topics = compact_array([compact("in") + compact_array([partition]) + b"\0"])
    body = compact(f"{group}.one") + compact(group) + struct.pack(">qh", last.producer, last.epoch)
    body += struct.pack(">i", -1) + compact("") + b"\0" + topics + b"\0"

    def code(reader: Reader) -> int:
        reader.number("i")
        return reader.number("h")

    def topic(reader: Reader) -> list[int]:
        reader.text()
        codes = reader.array(code)
        reader.tags()
        return codes

    host, _, port = cluster.bootstrap.rpartition(":")
    with BrokerConnection(host, int(port), {}, 10.0) as broker:
        answer = broker.ask(*_TXN_OFFSET_COMMIT, body)
        answer.number("i")
        assert answer.array(topic) == [[0]]


def copied(log: KafkaLog) -> int:
    return sum(len(records) for records in everything(log, "out").values())


@pytest.mark.parametrize("confirmed", [True, False])
def test_pending_positions_are_decided_as_the_transaction_was(trusting: Cluster, confirmed: bool) -> None:
    """P-117: outputs that are visible have their positions, outputs undone have not: nothing is doubled or lost."""
    group = f"copy-{confirmed}"
    with KafkaLog(config_of(trusting.bootstrap)) as log:
        before = copied(log)
        writer = transactor(trusting, group)
        if confirmed:
            writer.write([Outgoing("out", 0, Record(b"x")) for _ in range(5)], {})
        else:
            producer = writer.open()
            producer.begin_transaction()
            producer.produce("out", b"x", partition=0)
            producer.flush(10)
            producer.abort_transaction(10)
        leave_positions_pending(trusting, group, 5)
        with log.consumer(group, ["in"], "one", appends=["out"]) as member:
            assert log.committed(group) == ({IN: 5} if confirmed else {})
            batch = member.poll(10, 0.2)
            while not batch.records:
                batch = member.poll(10, 0.2)
            assert batch.records[0].offset == (5 if confirmed else 0)
            assert copied(log) - before == (5 if confirmed else 0)


def test_a_running_member_decides_what_nobody_else_does(trusting: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-117: positions that become pending after the take-over keep a member waiting no longer than its time limit."""
    monkeypatch.setattr("trunkline.log.kafka.undecided._GRACE_SECONDS", -18.0)
    with KafkaLog(config_of(trusting.bootstrap, timeout=5.0)) as log, KafkaLog(config_of(trusting.bootstrap)) as other:
        before = other.consumer("late", ["in"], "a")
        with log.consumer("late", ["in"], "one", appends=["out"]) as member:
            eventually(lambda: before.poll(1, 0.1).records)
            member.commit({}, with_appends={"out": [Record(b"x")]})
            leave_positions_pending(trusting, "late", 7)
            before.close()
            told: list[str] = []

            def decided() -> bool:
                try:
                    assert not member.poll(10, 0.2).records
                except RetryLater as error:
                    told.append(str(error))
                return bool(told)

            eventually(decided)
            assert "completed: join again" in told[0]
        assert log.committed("late") == {IN: 7}


def test_an_open_transaction_is_undone_and_its_holder_fenced(trusting: Cluster) -> None:
    """PD-2: whoever takes a name over ends what was not confirmed; the holder before cannot go on."""
    with KafkaLog(config_of(trusting.bootstrap)) as log:
        before = copied(log)
        zombie = transactor(trusting, "zombie")
        producer = zombie.open()
        producer.begin_transaction()
        producer.produce("out", b"never", partition=0)
        producer.flush(10)
        transactor(trusting, "zombie").open()
        eventually(lambda: log.bounds("out")[OUT][1] > 0)
        assert copied(log) == before
        with pytest.raises(KafkaException):
            producer.commit_transaction(10)
        with pytest.raises(Interrupted):
            zombie.write([Outgoing("out", 0, Record(b"never"))], {})
        assert copied(log) == before


def test_nothing_to_complete(trusting: Cluster) -> None:
    """An id that was never used has nothing to complete; a coordinator that is away is said to be, in time."""
    Completion({"bootstrap.servers": trusting.bootstrap}, "never", "", 10.0).run([OUT])
    with pytest.raises(KafkaException, match="coordinator of never cannot be asked"):
        Completion({"bootstrap.servers": "127.0.0.1:1"}, "never", "", 0.2).run([OUT])


def test_a_broker_that_hangs_does_not_keep_others_from_answering(trusting: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """PD-20: the first address takes connections and says nothing."""
    monkeypatch.setattr("trunkline.log.kafka.completing._ANSWER_SECONDS", 0.3)
    with KafkaLog(config_of(trusting.bootstrap)) as log:
        before = copied(log)
        transactor(trusting, "patient").write([Outgoing("out", 0, Record(b"x"))], {})
        leave_positions_pending(trusting, "patient", 5)
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            addresses = f"127.0.0.1:{deaf.getsockname()[1]},{trusting.bootstrap}"
            Completion({"bootstrap.servers": addresses}, "patient.one", "patient", 20.0).run([OUT])
        assert log.committed("patient") == {IN: 5}
        assert copied(log) == before + 1


def test_a_broker_that_was_away_makes_a_holder_take_its_name_over(tmp_path: Path) -> None:
    """P-117: what was confirmed before the broker left is completed before anything else is begun."""
    with Cluster(tmp_path / "kafka") as cluster:
        with KafkaLog(config_of(cluster.bootstrap)) as log:
            log.create([Topic("out")])
        held = transactor(cluster, "held")
        held.write([Outgoing("out", 0, Record(b"1"))], {})
        assert held.opened
        epoch = last_of(cluster, "held").epoch
        cluster.kill(1)
        eventually(lambda: not held.opened)
        cluster.restart(1)
        held.write([Outgoing("out", 0, Record(b"2"))], {})
        assert last_of(cluster, "held").epoch > epoch + 1
        with KafkaLog(config_of(cluster.bootstrap)) as log:
            assert [record.value for record in everything(log, "out")[0]] == [b"1", b"2"]


def test_a_broker_that_stays_away_is_no_reason_to_take_the_name_over_again(tmp_path: Path) -> None:
    """PD-20: with one of three brokers lost, transactions go on under the same holder once that is known."""
    with Cluster(tmp_path / "kafka", nodes=3) as cluster:
        with KafkaLog(config_of(cluster.bootstrap).model_copy(update={"profile": "production"})) as log:
            log.create([Topic("out")])
        held = transactor(cluster, "held")
        for node in (1, 2, 3):
            held.write([Outgoing("out", 0, Record(b"%d" % node))], {})
        cluster.kill(2)
        with KafkaLog(config_of(cluster.bootstrap)) as log:

            def written() -> bool:
                try:
                    held.write([Outgoing("out", 0, Record(b"x"))], {})
                except Interrupted:
                    return False
                return True

            eventually(written)
            eventually(lambda: written() and held.opened and written())
            holder = held.open()
            for _ in range(10):
                assert written()
                time.sleep(0.2)  # the client tries the broker again meanwhile
            assert held.open() is holder
            assert [record.value for record in everything(log, "out")[0]][:3] == [b"1", b"2", b"3"]

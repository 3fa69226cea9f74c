"""What one look at a cluster tells: copies, positions, rates, and faults."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.cli.support import trunkline
from tests.lab.kafka.fixtures import IMPATIENT
from tests.log.behaviour import eventually
from tests.log.kafka_engine import config_of

from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.kafka.health import GroupHealth, KafkaHealth, Observer, look
from trunkline.log.port import Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import NotConnected
from trunkline.model.reading import Category

SITE: Final = """\
site: plant
log: {engine: kafka, bootstrap: "%s", profile: development, insecure: true, partitions: 2, timeout_seconds: 5}
gateways: [{id: g1}]
"""
LAYOUT: Final = Layout("gateway", 2)
RAW: Final = LAYOUT.topic(Category.TELEMETRY, "raw")
CLEAN: Final = LAYOUT.topic(Category.TELEMETRY, "clean")
ALONE: Final = LAYOUT.gateway_status


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three brokers of this test's own: a raw topic that needs all copies, a clean one that needs two, and one with its only copy on 3."""
    settings = {**IMPATIENT, "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "200"}
    with Cluster(tmp_path, 3, settings=settings) as started:
        # its topics have the names of a site's
        admin = AdminClient({**started.client_settings()})
        everywhere = [[1, 2, 3], [2, 1, 3]]
        topics = [
            NewTopic(RAW, 2, replica_assignment=everywhere, config={"min.insync.replicas": "3", "message.timestamp.type": "LogAppendTime"}),
            NewTopic(CLEAN, 2, replica_assignment=everywhere, config={"min.insync.replicas": "2"}),
            NewTopic(ALONE, 1, replica_assignment=[[3]]),
            NewTopic("of.others", 1, replica_assignment=[[3]]),
        ]
        for made in admin.create_topics(topics).values():
            made.result()
        yield started
        for broker in started.brokers:  # nobody wants what they have
            broker.kill()


def lags(health: KafkaHealth) -> dict[tuple[str, str], GroupHealth]:
    return {(one.group, one.topic): one for one in health.groups}


def troubled(health: KafkaHealth) -> list[str]:
    return [*health.under_replicated, *health.under_min_isr, *health.offline]


def test_copies_positions_and_rates(cluster: Cluster, tmp_path: Path) -> None:
    """Issue 4, item 5: lag, positions, throughput per topic, under-replicated partitions."""
    config = config_of(cluster.bootstrap).model_copy(update={"partitions": 2})
    with Observer(config) as observer, KafkaLog(config) as log:
        eventually(lambda: observer.look().partitions >= 5 and not troubled(observer.look()))
        for number in range(4):
            log.append(RAW, [Record(bytes([number]), partition=0), Record(b"x", partition=1)], atomic=False)
        with log.consumer("validate", [RAW], "one") as member:
            taken = 0
            while taken < 8:
                taken += len(member.poll(100, 0.5).records)
            member.commit({TopicPartition(RAW, 0): 3})
        eventually(lambda: lags(observer.look())["validate", RAW].behind == 5)
        health = observer.look()
        assert (health.brokers, health.brokers_away, health.faults) == ([1, 2, 3], [], [])
        assert not troubled(health)
        assert lags(health)["validate", RAW].positions == {0: 3}
        assert lags(health)["historian", CLEAN] == GroupHealth("historian", CLEAN, 0, {})
        raw = next(one for one in health.topics if one.topic == RAW)
        assert (raw.partitions, raw.records, raw.records_per_s) == (2, 8, 8 / 60)
        assert "of.others" not in {one.topic for one in health.topics}
    health = look(config)
    (raw,) = (one for one in health.topics if one.topic == RAW)
    assert [disk.broker for disk in health.disks] == [1, 2, 3]
    assert all(disk.online and 0 < disk.free_bytes <= disk.total_bytes for disk in health.disks)
    assert sum(disk.used_bytes for disk in health.disks) >= (raw.disk_bytes or 0) > 8

    # a leader that has just died is waited for
    with Observer(config.model_copy(update={"timeout_seconds": 5.0})) as observer:
        cluster.kill(3)
        eventually(lambda: bool(observer.look().offline))
        eventually(lambda: len(observer.look().under_min_isr) == 2)
        health = observer.look()
        assert health.brokers_away == [3]
        assert health.offline == [f"{ALONE}/0"]
        assert health.under_min_isr == [f"{RAW}/0", f"{RAW}/1"]
        assert {f"{RAW}/0", f"{RAW}/1", f"{CLEAN}/0", f"{CLEAN}/1"} <= set(health.under_replicated)
        # what still serves is still told
        assert (lags(health)["validate", RAW].behind, health.faults) == (5, [])
        assert ALONE not in {one.topic for one in health.topics}

    file = tmp_path / "site.yaml"
    file.write_text(SITE % cluster.bootstrap)
    said = trunkline("status", file)
    assert said.code == 1
    assert "kafka: 2 brokers, 1 away (3)" in said.text
    assert re.search(r"kafka: broker 1: [\d.]+ MB in \S+, [\d,.]+ GB of [\d,.]+ GB free", said.text)
    assert f"kafka: offline: {ALONE}/0" in said.text
    assert f"kafka: too few copies to write: {RAW}/0, {RAW}/1" in said.text


def test_without_a_broker_it_says_so() -> None:
    (port,) = free_ports(1)
    with pytest.raises(NotConnected, match="cannot ask for the brokers: no broker answers"):
        look(config_of(f"127.0.0.1:{port}", timeout=1.0))

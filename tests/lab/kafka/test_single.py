"""A broker of one node: usable from any client, its data survives whatever ends it."""

from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trunkline.lab.kafka import Cluster

SECONDS = 60.0


def create_topic(cluster: Cluster, topic: str, partitions: int = 1, replicas: int = 1) -> None:
    admin = AdminClient({**cluster.client_settings()})
    admin.create_topics([NewTopic(topic, partitions, replicas)])[topic].result(SECONDS)


def produce(cluster: Cluster, topic: str, values: list[bytes]) -> None:
    producer = Producer({**cluster.client_settings(), "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(SECONDS) == 0


def consume(cluster: Cluster, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({**cluster.client_settings(), "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        found: list[bytes] = []
        while len(found) < count:
            messages = consumer.consume(count - len(found), SECONDS)
            assert messages, f"only {len(found)} of {count} records came"
            found += [message.value() or b"" for message in messages if not message.error()]
        return found
    finally:
        consumer.close()


def test_records_come_back(kafka: Cluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}echo"
    create_topic(kafka, topic)
    produce(kafka, topic, [b"a", b"b"])
    assert consume(kafka, topic, 2) == [b"a", b"b"]


def test_data_survives_a_stop_and_a_kill(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        create_topic(cluster, "kept")
        produce(cluster, "kept", [b"1"])
        cluster.kill(1)
        assert cluster.brokers[0].pid is None
        cluster.restart(1)
        produce(cluster, "kept", [b"2"])
    with Cluster(tmp_path, ports=cluster.ports) as again:
        assert consume(again, "kept", 2) == [b"1", b"2"]
    assert again.brokers[0].pid is None

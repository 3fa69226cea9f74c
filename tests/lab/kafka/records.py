"""Writing and reading a few records, for tests of brokers."""

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trunkline.lab.kafka import Cluster

SECONDS = 60.0


def create_topic(cluster: Cluster, topic: str, partitions: int = 1, replicas: int = 1) -> None:
    """Create a topic and wait for it."""
    admin = AdminClient({**cluster.client_settings()})
    admin.create_topics([NewTopic(topic, partitions, replicas)])[topic].result(SECONDS)


def produce(cluster: Cluster, topic: str, values: list[bytes]) -> None:
    """Write records; each is acknowledged by every replica in sync."""
    producer = Producer({**cluster.client_settings(), "acks": "all"})
    refused: list[str] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: refused.append(str(error)) if error else None)
    assert producer.flush(SECONDS) == 0
    assert not refused


def consume(cluster: Cluster, topic: str, count: int) -> list[bytes]:
    """Read a topic from its beginning."""
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

"""The same readings as topics of Apache Kafka, in the forms that ours and the peers read."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.peers.readings import I64, Readings
from trunkline.log.port import Record

#: Settings of every producer here: durable, compressed, in order.
PRODUCER: Final[dict[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 10,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 400_000,
}
#: A consumer twice as fast as with the client's defaults (measured; see docs/benchmarks).
CONSUMER: Final[dict[str, Any]] = {
    "queued.min.messages": 200_000,
    "fetch.message.max.bytes": 4_000_000,
    "fetch.wait.max.ms": 50,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
}

_CONNECT_SCHEMA: Final = {
    "type": "struct",
    "name": "reading",
    "optional": False,
    "fields": [
        {"field": "tag_id", "type": "int32", "optional": False},
        # with UNNEST the sink cuts Connect's own Timestamp to whole seconds, and refuses MicroTimestamp
        {"field": "ts", "type": "string", "optional": False, "name": "io.debezium.time.ZonedTimestamp", "version": 1},
        {"field": "value", "type": "double", "optional": False},
        {"field": "quality", "type": "int16", "optional": False},
    ],
}


def create(bootstrap: str, topic: str, partitions: int) -> None:
    """Create a topic without retention."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    future = admin.create_topics([NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})])[topic]
    future.result()


def fill(bootstrap: str, topic: str, records: Iterable[Record]) -> int:
    """Produce records, each to the partition it names; return how many. Raises RuntimeError if the broker refused any."""
    return produce(Producer(PRODUCER | {"bootstrap.servers": bootstrap}), topic, records)


def produce(producer: Producer, topic: str, records: Iterable[Record]) -> int:
    """Do the same with a producer that is there already, until every record is acknowledged."""
    failed: list[str] = []

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            failed.append(str(error))

    count = 0
    for count, record in enumerate(records, 1):
        assert record.partition is not None
        facts: dict[str, Any] = {"headers": list(record.headers)} if record.headers else {}
        while True:
            try:
                producer.produce(topic, record.value, record.key, record.partition, on_delivery=delivered, **facts)
                break
            except BufferError:
                producer.poll(0.1)
        if count % 1000 == 0:
            producer.poll(0)
    if producer.flush(120) or failed:
        raise RuntimeError(f"{len(failed)} records of {topic} were refused, the first because: {failed[:1]}")
    return count


def plain_json(readings: Readings) -> Iterator[Record]:
    """Return a JSON object a reading, as a tutorial's consumer expects it: the tag's id, the time as ISO 8601 text."""
    return _json(readings, "{", "}")


def connect_json(readings: Readings) -> Iterator[Record]:
    """Return a JSON object a reading with its schema in it, as Kafka Connect's JsonConverter writes it."""
    schema = json.dumps(_CONNECT_SCHEMA, separators=(",", ":"))
    return _json(readings, f'{{"schema":{schema},"payload":{{', "}}")


def _json(readings: Readings, before: str, after: str) -> Iterator[Record]:
    stamps = readings.time.astype("datetime64[us]").astype("datetime64[ms]").astype(str).tolist()
    keys = [path.encode() for path in readings.tags]
    rows = zip(readings.tag.tolist(), stamps, readings.value.tolist(), readings.partition.tolist(), strict=True)
    for tag, stamp, value, partition in rows:
        text = f'{before}"tag_id":{tag},"ts":"{stamp}Z","value":{value!r},"quality":0{after}'
        yield Record(text.encode(), keys[tag], partition=partition)


def delivery_order(bootstrap: str, topic: str, readings: Readings) -> I64:
    """Return indexes of readings in the order in which Kafka delivers a topic of one record a reading to one consumer."""
    homes = readings.partition
    places = [np.flatnonzero(homes == partition) for partition in range(homes.max() + 1)]
    taken = [np.empty((0, 2), np.int64)]
    missing = len(readings)
    consumer = Consumer(CONSUMER | {"bootstrap.servers": bootstrap, "group.id": "order"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(len(places))])
    while missing:
        messages = consumer.consume(10_000, 10.0)
        for error in (message.error() for message in messages):
            if error is not None:
                raise KafkaException(error)
        if not messages:
            raise RuntimeError(f"{missing} records of {topic} do not come")
        taken.append(np.array([(message.partition(), message.offset()) for message in messages], np.int64))
        missing -= len(messages)
    consumer.close()
    order: I64 = np.empty(len(readings), np.int64)
    at = np.concatenate(taken)
    for partition, place in enumerate(places):
        mine = at[:, 0] == partition
        order[mine] = place[at[mine, 1]]
    return order

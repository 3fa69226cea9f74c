"""Records of the port to and from the client's messages."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
from confluent_kafka import Message

from trunkline.log.partitioner import partition_of
from trunkline.log.port import Appends, Record, StoredRecord
from trunkline.log.runs import Run
from trunkline.model.errors import Misconfigured, Rejected

_PLACE: Final = itemgetter(0, 1)
_MOMENT: Final = itemgetter(1)


class Outgoing(NamedTuple):
    """A record with its place."""

    topic: str
    partition: int
    record: Record


def place(appends: Appends, partitions: Mapping[str, int], limit: Callable[[str], int], turn: Callable[[], int]) -> list[Outgoing]:
    """Give every record its partition, and refuse what Kafka would refuse.

    Args:
        appends: records by topic.
        partitions: how many each topic has.
        limit: bytes that a record of a topic may have.
        turn: counts the calls that spread records without a key.

    Raises:
        Misconfigured: no such partition.
        Rejected: records are too large; `rows` counts over all topics in the order given.
    """
    outgoing: list[Outgoing] = []
    too_large: list[int] = []
    for topic, records in appends.items():
        count, most = partitions[topic], limit(topic) if records else 0
        anywhere = turn() % count
        for record in records:
            partition = record.partition
            if partition is None:
                partition = anywhere if record.key is None else partition_of(record.key, count)
            elif not 0 <= partition < count:
                raise Misconfigured(f"topic {topic!r} has no partition {partition}: it has {count}, counted from 0")
            size = size_of(record)
            if size > most:
                too_large.append(len(outgoing))
            outgoing.append(Outgoing(topic, partition, record))
    if too_large:
        one = outgoing[too_large[0]]
        raise Rejected(
            f"a record of {size_of(one.record):,} bytes is larger than topic {one.topic!r} takes ({limit(one.topic):,})", too_large
        )
    return outgoing


def size_of(record: Record) -> int:
    """Return the bytes of value, key and headers."""
    size = len(record.value) + (len(record.key) if record.key is not None else 0)
    return size + sum(len(name) + len(value) for name, value in record.headers) if record.headers else size


def stored(messages: Sequence[Message]) -> list[StoredRecord]:
    """Return messages that are no errors as records. Kafka keeps milliseconds."""
    return [
        StoredRecord(
            message.topic() or "",
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1] * 1000,
            message.key(),
            message.value() or b"",
            _headers(message.headers()),
        )
        for message in messages
    ]


def runs_of(messages: Sequence[Message]) -> list[Run]:
    """Return messages that are no errors as runs, in their order. Kafka keeps milliseconds.

    A message is asked for each field by calls that Python's own code never sees: with a hundred bytes to a record, nothing else is fast.
    """
    topics, partitions = list(map(Message.topic, messages)), list(map(Message.partition, messages))
    if partitions.count(partitions[0]) == len(messages) == topics.count(topics[0]):
        return [_run(topics[0] or "", partitions[0] or 0, messages)]
    groups = groupby(zip(topics, partitions, messages, strict=True), _PLACE)
    return [_run(topic or "", partition or 0, [message for _, _, message in group]) for (topic, partition), group in groups]


def _run(topic: str, partition: int, messages: Sequence[Message]) -> Run:
    size = len(messages)
    headers = list(map(Message.headers, messages))
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    return Run(
        topic,
        partition,
        np.arange(first, last + 1) if last - first == size - 1 else np.fromiter(map(Message.offset, messages), np.int64, size),
        np.fromiter(map(_MOMENT, map(Message.timestamp, messages)), np.int64, size) * 1000,
        list(map(Message.key, messages)),
        [b"" if value is None else value for value in map(Message.value, messages)],
        None if headers.count(None) == size else list(map(_headers, headers)),
    )


def _headers(found: object) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value or b"") for name, value in found) if isinstance(found, list) else ()

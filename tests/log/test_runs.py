"""Records as columns look like records (log port)."""

from collections.abc import Sequence

import numpy as np
import pytest
from confluent_kafka import Message

from trunkline.log.kafka.records import runs_of, stored
from trunkline.log.port import StoredRecord, TopicPartition
from trunkline.log.runs import Runs

RECORDS = [
    StoredRecord("a", 0, 5, 1000, b"k", b"v", ()),
    StoredRecord("a", 0, 7, 2000, None, b"", ()),
    StoredRecord("a", 1, 0, 3000, b"k", b"w", (("h", b"x"), ("h", b"y"))),
    StoredRecord("a", 1, 1, 4000, b"", b"z", ()),
    StoredRecord("b", 1, 9, 5000, b"k", b"v", ()),
]


def test_they_are_a_sequence_of_records() -> None:
    runs = Runs.of(RECORDS)
    assert isinstance(runs, Sequence)
    assert (len(runs), bool(runs), bool(Runs())) == (5, True, False)
    assert list(runs) == RECORDS
    assert [runs[place] for place in range(-5, 5)] == RECORDS * 2
    assert runs[1:4] == RECORDS[1:4]
    assert runs[::-2] == RECORDS[::-2]
    assert RECORDS[2] in runs
    assert [*RECORDS[:1], *runs] == [*RECORDS[:1], *RECORDS]
    for place in (5, -6):
        with pytest.raises(IndexError, match="there is no record"):
            runs[place]


def test_columns_are_by_partition() -> None:
    runs = Runs.of(RECORDS)
    assert [(run.at, run.offsets.tolist(), run.bytes) for run in runs.runs] == [
        (TopicPartition("a", 0), [5, 7], 1),
        (TopicPartition("a", 1), [0, 1], 2),
        (TopicPartition("b", 1), [9], 1),
    ]
    assert [run.headers is None for run in runs.runs] == [True, False, True]
    assert runs.values() == [record.value for record in RECORDS]
    assert runs.timestamps().tolist() == [record.timestamp for record in RECORDS]
    assert runs.starts.tolist() == [0, 2, 4, 5]
    assert runs.at(np.array([1, 2])) == RECORDS[1:3]
    assert list(runs.runs[1].part(1, 2)) == RECORDS[3:4]
    assert Runs.of(runs).runs == runs.runs, "columns stay as they are"
    assert Runs().timestamps().tolist() == Runs().values() == []


def test_messages_become_the_same_records_either_way() -> None:
    messages = [
        Message(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=(1, record.timestamp // 1000),
            key=record.key,
            value=record.value or None,
            headers=list(record.headers) or None,
        )
        for record in RECORDS
    ]
    for some in (messages, messages[:2], messages[2:3]):
        assert list(Runs(runs_of(some))) == stored(some)
    assert stored(messages) == RECORDS
    assert [run.at for run in runs_of([messages[0], messages[2], messages[1]])] == [("a", 0), ("a", 1), ("a", 0)], "their order is kept"

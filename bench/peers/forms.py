"""The same readings in other forms that the historian reads: single Avro records, the isa95 JSON envelope, records that are broken."""

import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyruhvro

from bench.peers.readings import SOURCE, Readings, blocks
from trunkline.log.codec.schemas import SINGLE, SINGLE_ID, frame
from trunkline.log.port import Record

#: One record in so many is broken.
POISON_EVERY: Final = 1000
#: Records encoded in one call.
_AT_ONCE: Final = 100_000
#: Place of the double in the union of values.
_DOUBLE: Final = 3


def singles(readings: Readings) -> Iterator[Record]:
    """Yield an Avro record a reading, as a third party writes it: without an origin, so that its offset is its identity."""
    head, schema = frame(SINGLE_ID), json.dumps(SINGLE)
    keys = [path.encode() for path in readings.tags]
    partition = readings.partition
    for start in range(0, len(readings), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        (bodies,) = pyruhvro.serialize_record_batch(_batch(readings, some), schema, 1)
        rows = zip(bodies.to_pylist(), readings.tag[some].tolist(), partition[some].tolist(), strict=True)
        for body, tag, place in rows:
            yield Record(head + body, keys[tag], partition=place)


def _batch(readings: Readings, some: slice) -> pa.RecordBatch:
    time = readings.time[some]
    size = len(time)
    doubles = pa.array(np.full(size, _DOUBLE, np.int8))
    others = [pa.nulls(size), pa.nulls(size, pa.bool_()), pa.nulls(size, pa.int64())]
    value = pa.UnionArray.from_sparse(doubles, [*others, pa.array(readings.value[some]), pa.nulls(size, pa.string())])
    columns = {
        "tag": pa.array(readings.tags).take(pa.array(readings.tag[some])),
        "value": value,
        "quality": pa.array(np.zeros(size, np.int32)),
        "source_time": pa.array(time).cast(pa.timestamp("us")),
        "gateway_time": pa.array(time + 2000).cast(pa.timestamp("us")),
        "origin": pa.repeat("", size),
        "seq": pa.array(np.full(size, -1)),
        "source": pa.repeat(SOURCE, size),
    }
    return pa.RecordBatch.from_pydict(columns)


def envelopes(readings: Readings) -> Iterator[Record]:
    """Yield an isa95 envelope a reading, JSON with an event id (P-8 to P-20)."""
    assets = []
    for path in readings.tags:
        plant, area, unit, tag = path.split(".")
        assets.append(f'"asset":{{"plant":"{plant}","area":"{area}","unit":"{unit}"}},"tag":"{tag}"')
    stamps = readings.time.astype("datetime64[us]").astype("datetime64[ms]").astype(str).tolist()
    keys = [path.encode() for path in readings.tags]
    rows = zip(readings.tag.tolist(), stamps, readings.value.tolist(), readings.partition.tolist(), strict=True)
    for number, (tag, stamp, value, partition) in enumerate(rows):
        identity = uuid.UUID(int=0x0197 << 112 | 7 << 76 | 2 << 62 | number)
        text = (
            f'{{"event_id":"{identity}","timestamp":"{stamp}Z",{assets[tag]},"value":{value!r},'
            '"unit_of_measure":"m3/h","quality":"GOOD","category":"telemetry","node_id":42}'
        )
        yield Record(text.encode(), keys[tag], partition=partition)


def poisoned_singles(readings: Readings) -> Iterator[Record]:
    """Yield the same singles, with a broken record after each thousandth."""
    return _poisoned(singles(readings))


def poisoned_blocks(readings: Readings) -> Iterator[Record]:
    """Yield the same blocks, with a broken record after each thousandth."""
    return _poisoned(blocks(readings))


def _poisoned(records: Iterable[Record]) -> Iterator[Record]:
    for number, record in enumerate(records, 1):
        yield record
        if number % POISON_EVERY == 0:
            # cut short, and without the header that accounts for what is in it
            yield Record(record.value[: len(record.value) // 2], record.key, partition=record.partition)

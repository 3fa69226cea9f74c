"""The same readings in other forms that the historian reads: single Avro records, the isa95 JSON envelope, records that are broken."""

import io
import uuid
from collections.abc import Iterable, Iterator

import fastavro

from bench.peers.readings import SOURCE, Readings, blocks
from trunkline.log.codec.schemas import PARSED, SINGLE_ID, frame
from trunkline.log.port import Record

#: One record in so many is broken.
POISON_EVERY = 1000


def singles(readings: Readings) -> Iterator[Record]:
    """Yield an Avro record a reading, as a third party writes it: without an origin, so that its offset is its identity."""
    head = frame(SINGLE_ID)
    keys = [path.encode() for path in readings.tags]
    rows = zip(readings.tag.tolist(), readings.time.tolist(), readings.value.tolist(), readings.partition.tolist(), strict=True)
    for tag, time, value, partition in rows:
        out = io.BytesIO()
        out.write(head)
        fields = {"tag": readings.tags[tag], "value": value, "source_time": time, "gateway_time": time + 2000, "source": SOURCE}
        fastavro.schemaless_writer(out, PARSED[SINGLE_ID], fields)
        yield Record(out.getvalue(), keys[tag], partition=partition)


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

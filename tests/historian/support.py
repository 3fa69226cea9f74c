"""Readings on their way to the writer, without a log between."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trunkline.historian.flush import Flush
from trunkline.log.codec.columns import decode
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord, TopicPartition
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value

TOPIC = "telemetry.clean"
PLACE = TopicPartition(TOPIC, 0)
#: 2026-06-01T00:00:00Z
START = 1_780_272_000 * times.SECOND
ORIGIN = "edge-1"
#: Readings that are in the segments and not among the narrow rows, or the other way round.
ROWS_ONLY_ON_ONE_SIDE = """
    WITH s AS (SELECT series_id, t, number, q FROM historian.unpacked), r AS (SELECT series_id, t, v, q & 65535 FROM historian.reading_row)
    (TABLE s EXCEPT ALL TABLE r) UNION ALL (TABLE r EXCEPT ALL TABLE s)"""


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@dataclass
class Edge:
    """An edge journal with one partition: numbers readings, makes blocks that meet."""

    origin: str = ORIGIN
    source: str = "plc"
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    seq: int = 0
    offset: int = 0
    covered: int = 0
    records: list[StoredRecord] = field(default_factory=list)

    def block(self, readings: Iterable[Reading]) -> StoredRecord:
        """Append one block and return it."""
        slots = ((TagSlot(one.tag, self.source, self.kinds.get(one.tag, Kind.DOUBLE), 0), one) for one in readings)
        (record,), self.seq = write_blocks(self.origin, self.seq, {0: self.covered}, slots)
        self.covered = self.seq
        stored = as_stored(record, self.offset)
        self.offset += 1
        self.records.append(stored)
        return stored


def as_stored(record: Record, offset: int, place: TopicPartition = PLACE) -> StoredRecord:
    return StoredRecord(place.topic, place.partition, offset, START, record.key, record.value, record.headers)


def flush_of(records: Sequence[StoredRecord]) -> Flush:
    """Return a flush of these blocks, as the role makes it."""
    places = [TopicPartition(record.topic, record.partition) for record in records]
    positions = {place: record.offset + 1 for place, record in zip(places, records, strict=True)}
    return Flush(decode(records), places, positions)


def reading(tag: str, time: int, value: Value, quality: int = Quality.GOOD) -> Reading:
    return Reading(tag, value, quality, time, time)


def ramp(tag: str, count: int, *, start: int = START, step: int = times.SECOND, first: float = 0.0) -> list[Reading]:
    return [reading(tag, start + place * step, first + place) for place in range(count)]

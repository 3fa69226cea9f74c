"""Records into batches, batches into the file."""

import sqlite3
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from trunkline.log.journal import frames, schema
from trunkline.log.journal.schema import place
from trunkline.log.journal.sealing import OVERHEAD, Key
from trunkline.log.journal.store import Damaged, TopicPlace
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Appends, Positions, Record, TopicPartition
from trunkline.model.errors import Misconfigured, Rejected

#: Larger appends become several batches, so that damage to one loses no more than this.
_BATCH_RECORDS: Final = 4096
_BATCH_BYTES: Final = 1 << 20

TALLY_SEPARATOR: Final = "\x1f"

_partition_of = lru_cache(maxsize=65_536)(partition_of)


class Packed(NamedTuple):
    """A batch ready to be stored; `crc` is of the stored frame alone."""

    length: int
    oldest: int
    newest: int
    appended: int
    codec: int
    frame: bytes
    crc: int

    @property
    def head(self) -> tuple[int, int, int, int]:
        """The columns before the check: number of records, oldest, newest, appended."""
        return self[:4]


@dataclass(frozen=True, slots=True)
class Run:
    """The batches of one append to one partition."""

    at: TopicPartition
    lane: int
    batches: list[Packed]
    count: int
    size: int


def tally_name(key: tuple[str, ...]) -> str:
    """Return the stored name of a counter: parts, each ended by a separator, so that a prefix of parts is a prefix of the name."""
    if not key or any(TALLY_SEPARATOR in part for part in key):
        raise ValueError(f"the parts of counter {key!r} must be one or more texts without the character U+001F")
    return "".join(part + TALLY_SEPARATOR for part in key)


def prepare(places: Mapping[str, TopicPlace], appends: Appends, now: int, max_record_bytes: int, spread: Callable[[], int]) -> list[Run]:
    """Pack records into batches, outside any lock.

    Args:
        places: every topic.
        appends: records by topic.
        now: timestamp of records that have none, µs UTC.
        max_record_bytes: largest record: value, key and headers together.
        spread: gives the numbers that spread calls whose records have neither key nor partition.

    Raises:
        Misconfigured: a topic or partition does not exist.
        Rejected: a record is too large; rows count within its topic's records.
    """
    runs: list[Run] = []
    for topic, records in appends.items():
        found = places.get(topic)
        if found is None:
            raise Misconfigured(
                f"the journal has no topic {topic!r}: create it first, or use one of {', '.join(sorted(places)) or 'none yet'}"
            )
        if not records:
            continue
        _check_sizes(topic, records, max_record_bytes)
        for partition, share in _by_partition(found, records, spread).items():
            try:
                batches = [_pack(chunk, now) for chunk in _chunks(share)]
            except (struct.error, UnicodeEncodeError) as error:
                raise Rejected(f"a record for {topic!r} cannot be stored: {error}", range(len(records))) from error
            size = sum(len(batch.frame) for batch in batches) + schema.ROW_BYTES * len(batches)
            runs.append(Run(TopicPartition(topic, partition), found.lane + partition, batches, len(share), size))
    return runs


def _size(record: Record) -> int:
    return len(record.value) + len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)


def _check_sizes(topic: str, records: Sequence[Record], limit: int) -> None:
    rows = [row for row, record in enumerate(records) if len(record.value) * 2 > limit or record.headers or record.key]
    rows = [row for row in rows if _size(records[row]) > limit] if rows else rows
    if rows:
        largest = max(_size(records[row]) for row in rows)
        raise Rejected(f"{len(rows)} records for {topic!r} are too large: {largest} bytes where {limit} are allowed", rows)


def _by_partition(found: TopicPlace, records: Sequence[Record], spread: Callable[[], int]) -> dict[int, Sequence[Record]]:
    if found.partitions == 1 and all(record.partition in (None, 0) for record in records):
        return {0: records}
    shares: dict[int, list[Record]] = {}
    keyless: int | None = None
    for record in records:
        partition = record.partition
        if partition is None:
            if record.key is not None:
                partition = _partition_of(record.key, found.partitions)
            else:
                keyless = spread() % found.partitions if keyless is None else keyless
                partition = keyless
        elif not 0 <= partition < found.partitions:
            raise Misconfigured(f"topic {found.name!r} has no partition {partition}: it has {found.partitions}, counted from 0")
        shares.setdefault(partition, []).append(record)
    return dict(shares)


def _chunks(records: Sequence[Record]) -> list[Sequence[Record]]:
    if len(records) <= _BATCH_RECORDS and sum([len(record.value) for record in records]) <= _BATCH_BYTES:
        return [records]
    chunks: list[Sequence[Record]] = []
    start = size = 0
    for row, record in enumerate(records):
        if row > start and (row - start == _BATCH_RECORDS or size + len(record.value) > _BATCH_BYTES):
            chunks.append(records[start:row])
            start, size = row, 0
        size += len(record.value)
    chunks.append(records[start:])
    return chunks


def _pack(records: Sequence[Record], now: int) -> Packed:
    frame, timestamps = frames.encode(records, now)
    codec, stored = frames.pack(frame)
    return Packed(len(records), min(timestamps), max(timestamps), now, codec, stored, zlib.crc32(stored))


def _row(at: TopicPartition, rowid: int, batch: Packed, key: Key | None) -> tuple[int | bytes, ...]:
    """Return the columns of a batch, sealed where there is a key: only now its place is known, to which it is bound."""
    codec, frame, crc = batch.codec, batch.frame, batch.crc
    if key is not None:
        codec |= frames.SEALED
        frame = key.seal(frame, schema.batch_binding(at, rowid, *batch.head, codec))
        crc = zlib.crc32(frame)
    return (rowid, *batch.head, schema.batch_crc(rowid, *batch.head, codec, crc), codec, frame)


def store_runs(db: sqlite3.Connection, runs: Sequence[Run], reserve: Callable[[int], None], key: Key | None) -> Positions:
    """Insert prepared batches inside a transaction, sealed with `key`; return the next offset of each partition touched."""
    if not runs:
        return {}
    lanes = [run.lane for run in runs]
    known = {row[0]: row[1:] for row in db.execute(schema.SELECT_LANES, (min(lanes), max(lanes)))}
    positions: Positions = {}
    rows: list[tuple[int | bytes, ...]] = []
    moves: list[tuple[int, ...]] = []
    for run in runs:
        if run.lane not in known:
            raise Damaged(f"the lane of {run.at.topic}/{run.at.partition} is missing")
        first, offset, size, revision = known[run.lane]
        reserve(offset + run.count)
        for batch in run.batches:
            rowid = place(run.lane, offset)
            rows.append(_row(run.at, rowid, batch, key))
            offset += batch.length
        size += run.size + (OVERHEAD * len(run.batches) if key is not None else 0)
        seal = schema.seal("lane", run.lane, first, offset, size, revision + 1)
        moves.append((run.lane, offset, size, revision + 1, seal))
        positions[run.at] = offset
    db.executemany(schema.INSERT_BATCH, rows)
    db.executemany(schema.MOVE_LANE, moves)
    return positions


def add_tallies(db: sqlite3.Connection, tallies: Mapping[tuple[str, ...], int] | None) -> None:
    """Add to persistent counters inside a transaction."""
    rows: list[tuple[str | int, ...]] = []
    for key, amount in (tallies or {}).items():
        name = tally_name(key)
        value, revision = db.execute(schema.SELECT_TALLY, (name,)).fetchone() or (0, 0)
        changed = (name, value + amount, revision + 1)
        rows.append((*changed, schema.seal("tally", *changed)))
    db.executemany(schema.PUT_TALLY, rows)


def set_facts(db: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Set persistent facts inside a transaction."""
    rows: list[tuple[str | int, ...]] = []
    for name, value in facts.items():
        (revision,) = db.execute(schema.SELECT_META_REVISION, (name,)).fetchone() or (0,)
        changed = (name, value, revision + 1)
        rows.append((*changed, schema.seal("meta", *changed)))
    db.executemany(schema.PUT_META, rows)

"""Batches out of the file, checked; records out of batches."""

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Final, Literal, NamedTuple

from trunkline.log.journal import frames, schema
from trunkline.log.journal.schema import lane_of, offset_of, place
from trunkline.log.journal.sealing import Key
from trunkline.log.journal.store import Damaged, require_sound
from trunkline.log.port import StoredRecord, TopicPartition
from trunkline.model import times
from trunkline.model.errors import CorruptData, RetryLater

#: From the batch that holds an offset on.
_SELECT: Final = f"""
    SELECT {schema.BATCH_COLUMNS} FROM batch
    WHERE id >= COALESCE((SELECT id FROM batch WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1), ?2) AND id < ?3 ORDER BY id"""  # noqa: S608 - constant
_SELECT_BACKWARDS: Final = f"SELECT {schema.BATCH_COLUMNS} FROM batch WHERE id BETWEEN ? AND ? ORDER BY id DESC"  # noqa: S608 - constant

_stored_record = partial(tuple.__new__, StoredRecord)

BatchRow = tuple[int, int, int, int, int, int, int, bytes]


class Quarantined(NamedTuple):
    """A range of offsets that will never be delivered.

    Attributes:
        kind: 'damaged' (the bytes failed their check and are kept), 'lost' (nothing readable was left), 'skipped' (offsets left free on
            purpose, so that none is used twice after a file was mended; no record was ever there).
        topic, partition: where.
        first, next: the range, `next` excluded.
        at: when it was found, µs UTC.
        reason: what failed.
        frame: the bytes kept; empty unless 'damaged'.
    """

    kind: Literal["damaged", "lost", "skipped"]
    topic: str
    partition: int
    first: int
    next: int
    at: int
    reason: str
    frame: bytes


@dataclass(slots=True)
class Fetched:
    """What one look into a partition gave.

    Attributes:
        records: in order of offset; whole batches from the offset asked for.
        next: offset to go on from; beyond the last record where offsets were left out.
        size: bytes of keys and values, roughly.
        damaged: rowid of a batch that failed its check, which ended the look; None when none did.
    """

    records: list[StoredRecord] = field(default_factory=list)
    next: int = 0
    size: int = 0
    damaged: int | None = None


def is_sealed(row: BatchRow) -> bool:
    """Return whether a batch needs a key to be opened."""
    return bool(row[6] & frames.SEALED)


def require_whole(at: TopicPartition, row: BatchRow) -> None:
    """Check a batch's checksum, which needs no key. Raises CorruptData."""
    rowid, count, oldest, newest, appended, crc, codec, stored = row
    if schema.batch_crc(rowid, count, oldest, newest, appended, codec, zlib.crc32(stored)) != crc:
        raise CorruptData(f"batch {at.topic}/{at.partition}@{offset_of(rowid)} fails its checksum")


def open_batch(at: TopicPartition, row: BatchRow, key: Key | None) -> list[StoredRecord]:
    """Return a batch's records.

    Raises:
        CorruptData: it fails its checksum, or its seal does not open.
        RetryLater: it is sealed, and there is no key: the file was sealed by another process.
    """
    require_whole(at, row)
    rowid, count, oldest, newest, appended, _, codec, stored = row
    base = offset_of(rowid)
    if codec & frames.SEALED:
        if key is None:
            raise RetryLater(
                f"batch {at.topic}/{at.partition}@{base} is sealed, and this process has no key: start it again with its site file"
            )
        try:
            stored = key.open(stored, schema.batch_binding(at, rowid, count, oldest, newest, appended, codec))
        except CorruptData as error:
            raise CorruptData(f"batch {at.topic}/{at.partition}@{base} fails its authentication: {error}") from error
    opened = frames.decode(frames.unpack(codec & ~frames.SEALED, stored))
    if len(opened.values) != count:
        raise CorruptData(f"batch {at.topic}/{at.partition}@{base} holds {len(opened.values)} records instead of {count}")
    columns = zip(
        repeat(at.topic), repeat(at.partition), range(base, base + count), opened.timestamps, opened.keys, opened.values, opened.headers
    )  # the endless ones end with the shortest
    return list(map(_stored_record, columns))


def fetch(db: sqlite3.Connection, at: TopicPartition, lane: int, offset: int, max_records: int, max_bytes: int, key: Key | None) -> Fetched:
    """Read whole batches from `offset` on until `max_records` or `max_bytes` are reached; at least one batch where there is one."""
    row = db.execute(schema.SELECT_LANE, (lane,)).fetchone()
    if row is None:
        raise Damaged(f"the lane of {at.topic}/{at.partition} is missing")
    first, end, _ = row
    offset = max(offset, first)
    fetched = Fetched(next=offset)
    if offset >= end:
        return fetched
    for batch in _batches(db, lane, offset):
        try:
            records = open_batch(at, batch, key)
        except CorruptData:
            fetched.damaged = batch[0]
            return fetched
        base = offset_of(batch[0])
        fetched.records += records[offset - base :] if offset > base else records
        fetched.next = max(offset, base + len(records))
        fetched.size += len(batch[-1])
        if len(fetched.records) >= max_records or fetched.size >= max_bytes:
            return fetched
    fetched.next = end
    return fetched


def _batches(db: sqlite3.Connection, lane: int, offset: int) -> Iterator[BatchRow]:
    return db.execute(_SELECT, (place(lane, 0), place(lane, offset), place(lane + 1, 0)))


def last(db: sqlite3.Connection, at: TopicPartition, lane: int, key: Key | None) -> tuple[StoredRecord | None, int | None]:
    """Return the newest record of a partition, and the rowid of a damaged batch found on the way to it."""
    row = db.execute(schema.SELECT_LANE, (lane,)).fetchone()
    if row is None:
        raise Damaged(f"the lane of {at.topic}/{at.partition} is missing")
    for batch in db.execute(_SELECT_BACKWARDS, (place(lane, 0), place(lane + 1, 0) - 1)):
        try:
            newest = open_batch(at, batch, key)[-1]
        except CorruptData:
            return None, batch[0]
        return (newest if newest.offset >= row[0] else None), None
    return None, None


def quarantine(db: sqlite3.Connection, at: TopicPartition, rowid: int, key: Key | None) -> None:
    """Move a batch that failed its check out of the way, inside a transaction.

    A wrong byte may be a sign of more: the structure of the file is checked first, because deleting from a broken tree breaks others.

    Raises:
        Damaged: the file has to be mended as a whole.
    """
    row = db.execute(schema.SELECT_BATCH, (rowid,)).fetchone()
    if row is None:
        return  # somebody else was faster
    try:
        open_batch(at, row, key)
    except CorruptData as error:
        reason = str(error)
    else:
        return
    require_sound(db)
    lane = lane_of(rowid)
    first, end, size = db.execute(schema.SELECT_LANE, (lane,)).fetchone()
    start, stop = _range_between_neighbours(db, at, rowid, first, end)
    db.execute(schema.INSERT_QUARANTINE, ("damaged", at.topic, at.partition, start, stop, times.now(), reason, row[-1]))
    db.execute("DELETE FROM batch WHERE id = ?", (rowid,))
    db.execute(schema.UPDATE_LANE, (lane, first, end, max(0, size - len(row[-1]) - schema.ROW_BYTES)))


def _range_between_neighbours(db: sqlite3.Connection, at: TopicPartition, rowid: int, first: int, end: int) -> tuple[int, int]:
    """Return the offsets that a damaged batch held, which its own columns cannot be trusted to say."""
    lane, base = lane_of(rowid), offset_of(rowid)
    before = db.execute(
        "SELECT id + count FROM batch WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1", (place(lane, 0), rowid)
    ).fetchone()
    after = db.execute("SELECT id FROM batch WHERE id > ? AND id < ? ORDER BY id LIMIT 1", (rowid, place(lane + 1, 0))).fetchone()
    (gone,) = db.execute(
        "SELECT COALESCE(MAX(next), 0) FROM quarantine WHERE topic = ? AND partition = ? AND first <= ?", (at.topic, at.partition, base)
    ).fetchone()
    start = max(first, gone, offset_of(before[0]) if before else 0)
    stop = offset_of(after[0]) if after else end
    return min(start, stop), max(start, stop)


def quarantined(db: sqlite3.Connection) -> list[Quarantined]:
    """Return every quarantined range."""
    rows = db.execute("SELECT kind, topic, partition, first, next, at, reason, frame FROM quarantine ORDER BY id")
    return [Quarantined(*row) for row in rows]

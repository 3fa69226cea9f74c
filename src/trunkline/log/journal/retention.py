"""Deleting from the old end of a partition. Freed pages are used again, or given back (`trunkline.log.journal.space`).

Functions here run inside a write transaction.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from trunkline.log.journal import reading, schema
from trunkline.log.journal.schema import offset_of, place
from trunkline.log.journal.sealing import Key
from trunkline.log.journal.store import Damaged, TopicPlace
from trunkline.log.port import TopicPartition
from trunkline.model.errors import CorruptData

#: Batches deleted in one transaction, so that appends never wait long.
STRIDE: Final = 500

_HEADS: Final = "SELECT id, count, oldest, newest, appended, LENGTH(frame) FROM batch WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"


@dataclass(frozen=True, slots=True)
class DeletedRange:
    """What was deleted from a partition.

    Attributes:
        records: number of records.
        bytes: what they took in the file.
        first_timestamp, last_timestamp: smallest and largest of their timestamps, µs UTC; None when there were none.
    """

    records: int = 0
    bytes: int = 0
    first_timestamp: int | None = None
    last_timestamp: int | None = None

    def __add__(self, other: "DeletedRange") -> "DeletedRange":
        stamps = [stamp for stamp in (self.first_timestamp, other.first_timestamp) if stamp is not None]
        lasts = [stamp for stamp in (self.last_timestamp, other.last_timestamp) if stamp is not None]
        return DeletedRange(self.records + other.records, self.bytes + other.bytes, min(stamps, default=None), max(lasts, default=None))


def delete_before(db: sqlite3.Connection, at: TopicPartition, lane: int, offset: int, key: Key | None) -> DeletedRange:
    """Delete every record below `offset`. A batch that reaches beyond it gives its space back when its last record goes."""
    row = db.execute(schema.SELECT_LANE, (lane,)).fetchone()
    if row is None:
        raise Damaged(f"the lane of {at.topic}/{at.partition} is missing")
    first, end, size = row
    offset = min(offset, end)
    if offset <= first:
        return DeletedRange()
    deleted = DeletedRange()
    for rowid, count, oldest, newest, _, length in db.execute(_HEADS, (place(lane, 0), place(lane, offset), -1)).fetchall():
        base = offset_of(rowid)
        if base >= first and base + count <= offset:
            deleted += DeletedRange(count, length + schema.ROW_BYTES, oldest, newest)
        else:
            deleted += _part(db, at, rowid, max(first, base), min(offset, base + count), key, whole=base + count <= offset)
    db.execute("DELETE FROM batch WHERE id >= ? AND id < ? AND id + count <= ?", (place(lane, 0), place(lane, offset), place(lane, offset)))
    db.execute(schema.UPDATE_LANE, (lane, offset, end, max(0, size - deleted.bytes)))
    return deleted


def _part(db: sqlite3.Connection, at: TopicPartition, rowid: int, first: int, stop: int, key: Key | None, *, whole: bool) -> DeletedRange:
    """Return the share of a batch between two offsets; its space is freed when it goes `whole`."""
    row = db.execute(schema.SELECT_BATCH, (rowid,)).fetchone()
    try:
        stamps = [record.timestamp for record in reading.open_batch(at, row, key) if first <= record.offset < stop]
    except CorruptData:
        stamps = [row[2], row[3]]
    freed = len(row[-1]) + schema.ROW_BYTES if whole else 0
    return DeletedRange(stop - first, freed, min(stamps, default=None), max(stamps, default=None))


def size(db: sqlite3.Connection, topic: TopicPlace) -> int:
    """Return the bytes a topic's records take. Needs no write transaction."""
    rows = db.execute("SELECT COALESCE(SUM(bytes), 0) FROM lane WHERE lane >= ? AND lane < ?", (topic.lane, topic.lane + topic.partitions))
    total: int = rows.fetchone()[0]
    return total


def expire(
    db: sqlite3.Connection, topic: TopicPlace, now: int, keep: Mapping[TopicPartition, int], key: Key | None
) -> tuple[dict[TopicPartition, DeletedRange], bool]:
    """Delete up to `STRIDE` batches that a topic's retention no longer covers, never one that reaches to or above `keep`.

    Returns:
        what was deleted, and whether there may be more to delete.
    """
    row = db.execute("SELECT retention_us, retention_bytes FROM topic WHERE lane = ?", (topic.lane,)).fetchone()
    if row is None:
        raise Damaged(f"topic {topic.name} is missing")
    retention_us, retention_bytes = row
    oldest_kept = now - retention_us if retention_us is not None else None
    surplus = size(db, topic) - retention_bytes if retention_bytes is not None else 0
    heads = sorted(head for partition in range(topic.partitions) for head in _deletable(db, topic, partition, keep))
    upto: dict[int, int] = {}
    for stamp, base, partition, count, length in heads[:STRIDE]:
        if not (oldest_kept is not None and stamp < oldest_kept) and surplus <= 0:
            break
        upto[partition] = base + count
        surplus -= length
    deleted = {
        TopicPartition(topic.name, partition): delete_before(db, TopicPartition(topic.name, partition), topic.lane + partition, offset, key)
        for partition, offset in upto.items()
    }
    return deleted, bool(deleted) and len(heads) > STRIDE


def _deletable(
    db: sqlite3.Connection, topic: TopicPlace, partition: int, keep: Mapping[TopicPartition, int]
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield age, base offset, partition, count and bytes of the oldest batches; ages never fall within a partition."""
    limit = keep.get(TopicPartition(topic.name, partition))
    lane = topic.lane + partition
    age = -(1 << 63)
    for rowid, count, _, newest, appended, length in db.execute(_HEADS, (place(lane, 0), place(lane + 1, 0), STRIDE + 1)):
        base = offset_of(rowid)
        if limit is not None and base + count > limit:
            return
        # a clock that runs ahead must not keep a record for ever
        age = max(age, min(newest, appended))
        yield age, base, partition, count, length + schema.ROW_BYTES

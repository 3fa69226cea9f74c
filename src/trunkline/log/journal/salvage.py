"""A damaged journal into a new one.

The damaged file is set aside whole (`<name>.corrupt-<time>`, with its write-ahead log) and every row that proves itself by its checksum
is carried over, sealed ones as they are: that needs no key. With the key of the records, those that are not sealed are sealed on the way.
The new journal keeps the id, topics, counters, facts and positions, and goes on **above the marks' ceiling**, so that no offset is ever
used twice whatever was lost. What is missing is recorded as ranges in the quarantine table.

Every step can be killed: a note beside the journal (`<name>.mending`) names the file set aside, and the next opener goes on from it.
"""

import os
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from trunkline.log.journal import frames, schema
from trunkline.log.journal.marks import Marks, resume_at, sync_folder
from trunkline.log.journal.pages import Pages, Progress, Row, Value
from trunkline.log.journal.schema import SEALED, Sealed, lane_of, offset_of, place
from trunkline.log.journal.sealing import Key
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.identity import uuid7

_log = structlog.get_logger("trunkline.log")

Fact = tuple[Value, ...]
_BY_WIDTH: Final[dict[int, list[Sealed]]] = {
    width: [table for table in SEALED if len(table.names) == width] for width in {len(table.names) for table in SEALED}
}
_BATCH_WIDTH: Final = 8
_UNNAMED: Final = "lost-topic-{lane}"


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to the journal at `path`."""
    return path.with_name(path.name + suffix)


def unfinished(path: Path) -> bool:
    """Return whether a mending was interrupted."""
    return beside(path, ".mending").exists()


def mend(path: Path, reason: str, marks: Marks | None, key: Key | None) -> Marks:
    """Set the journal at `path` aside, salvage it into a new one and return the new marks (to be saved by the caller).

    The caller holds the writers' lock and has no connection open.
    """
    note = beside(path, ".mending")
    # an empty note is one whose writer was killed by a release that did not write it whole
    if not note.exists() or not note.stat().st_size:
        name = f"{path.name}.corrupt-{times.to_iso(times.now()).replace(':', '')}"
        # whole or not at all: a note without a name would keep the journal closed
        fresh = beside(path, ".mending.fresh")
        fresh.write_text(f"{name}\n{reason}")
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.replace(note)
        sync_folder(path.parent)
        _log.error("journal is damaged: it is set aside and salvaged into a new one", path=str(path), aside=name, reason=reason)
    name, _, reason = note.read_text().partition("\n")
    aside = path.with_name(name)
    if not aside.exists() and path.exists():
        path.rename(aside)
    if not path.exists():
        if (wal := beside(path, "-wal")).exists():
            wal.rename(beside(aside, "-wal"))
        beside(path, "-shm").unlink(missing_ok=True)
        sync_folder(path.parent)
        marks = rebuild(path, aside, reason, marks, key)
    note.unlink()
    return marks or Marks(str(uuid7()))


def rebuild(
    path: Path, aside: Path, reason: str, marks: Marks | None, key: Key | None, progress: Progress = lambda _done, _of: None
) -> Marks:
    """Make the journal at `path` out of what proves itself in the file `aside`, which is only read; return its marks, to be saved.

    Args:
        path: of the new file; one that is there is replaced.
        aside: the damaged file; its write-ahead log lies beside it.
        reason: why, for the record of what is lost.
        marks: those of the damaged journal.
        key: of the records, where it is known and the journal is sealed.
        progress: told how many of how many pages were looked at.
    """
    fresh = beside(path, ".fresh")
    fresh.unlink(missing_ok=True)
    found = _Found()
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")  # synced below, before anybody else can see it
        schema.create(db, str(uuid7()))
        db.execute("BEGIN IMMEDIATE")
        if aside.exists():
            with closing(Pages(aside)) as pages:
                if key is not None:
                    deque(found.take_facts(pages.rows(progress)), maxlen=0)  # what is sealed is bound to its topic's name
                found.take(pages.rows(progress), db, _Sealer(key, found, marks))
        marks = _restore(db, found, reason, marks)
        db.execute("COMMIT")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)
    return marks


@dataclass(slots=True)
class _Found:
    """Rows that proved themselves: of every key the newest."""

    facts: dict[str, dict[Fact, Fact]] = field(default_factory=lambda: {table.name: {} for table in SEALED})

    def take(self, rows: Iterator[Row], db: sqlite3.Connection, sealer: "_Sealer") -> None:
        """Sort the rows: batches go straight into the new database, facts are kept for `_restore`."""
        for rowid, values in self.take_facts(rows):
            if _is_batch(rowid, values):
                db.execute(schema.INSERT_BATCH.replace("INSERT", "INSERT OR IGNORE", 1), sealer.sealed((rowid, *values[1:])))

    def take_facts(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Keep the facts among the rows; yield those that look like batches."""
        for rowid, values in rows:
            if len(values) == _BATCH_WIDTH and isinstance(values[-1], bytes):
                yield rowid, values
                continue
            for table in _BY_WIDTH.get(len(values), ()):
                self._take_fact(table, rowid, values)

    def _take_fact(self, table: Sealed, rowid: int, values: Fact) -> None:
        at = table.rowid_column
        if at is not None:
            values = (*values[:at], rowid, *values[at + 1 :])
        if schema.seal(table.name, *values[:-1]) != values[-1]:
            return
        names = table.names
        key = tuple(values[names.index(name)] for name in table.key)
        known = self.facts[table.name].get(key)
        if known is None or _number(known[-2]) < _number(values[-2]):
            self.facts[table.name][key] = values


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _is_batch(rowid: int, values: Fact) -> bool:
    *numbers, frame = values[1:]
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) != len(numbers) or not isinstance(frame, bytes) or rowid <= 0 or not 0 < whole[0] < 1 << 32:
        return False
    count, oldest, newest, appended, crc, codec = whole
    return crc == schema.batch_crc(rowid, count, oldest, newest, appended, codec, zlib.crc32(frame))


class _Sealer:
    """Seals batches that are not sealed yet, when there is a key."""

    def __init__(self, key: Key | None, found: _Found, marks: Marks | None) -> None:
        self._key = key
        topics = _known_topics(found, marks)
        self._places = {lane.lane: TopicPartition(lane.topic, lane.partition) for lane in _lanes(topics)}

    def sealed(self, row: tuple[Value, ...]) -> tuple[Value, ...]:
        """Return the columns of a batch, sealed."""
        rowid, count, oldest, newest, appended, _, codec, frame = row
        if self._key is None or _number(codec) & frames.SEALED or not isinstance(frame, bytes):
            return row
        lane = lane_of(_number(rowid))
        at = self._places.get(lane, TopicPartition(_UNNAMED.format(lane=lane), 0))
        head = (_number(count), _number(oldest), _number(newest), _number(appended))
        sealed_codec = _number(codec) | frames.SEALED
        stored = self._key.seal(frame, schema.batch_binding(at, _number(rowid), *head, sealed_codec))
        crc = schema.batch_crc(_number(rowid), *head, sealed_codec, zlib.crc32(stored))
        return (rowid, *head, crc, sealed_codec, stored)


@dataclass(frozen=True, slots=True)
class _Lane:
    topic: str
    partition: int
    lane: int


def _restore(db: sqlite3.Connection, found: _Found, reason: str, marks: Marks | None) -> Marks:
    """Write the facts into the new database; return the marks it goes on with."""
    for table in SEALED:
        slots = ", ".join("?" * len(table.names))
        # table names come from SEALED
        db.executemany(f"INSERT OR REPLACE INTO {table.name} VALUES ({slots})", found.facts[table.name].values())  # noqa: S608 - see above
    found_id = schema.journal_id(db)
    if (schema.ID,) not in found.facts["meta"] and marks is not None:
        found_id = marks.id
        db.execute(schema.SET_META, (schema.ID, found_id))
    wrapped = schema.fact(db, schema.KEY) or (marks.key if marks else "")
    if wrapped:
        schema.set_wrapped_key(db, wrapped)
    topics = _topics(db, found, marks)
    highest = max(
        (
            *(_number(row[2]) for row in found.facts["lane"].values()),
            *(_number(row[2]) for row in found.facts["position"].values()),
            *(offset_of(rowid) + count for rowid, count in db.execute("SELECT id, count FROM batch")),
            0,
        )
    )
    resume = resume_at(marks, highest)
    for lane in _lanes(topics):
        _settle(db, lane, found.facts["lane"].get((lane.lane,)), resume, reason)
    return Marks(found_id, resume, topics, wrapped).above(resume)


def _known_topics(found: _Found, marks: Marks | None) -> dict[str, tuple[int, int]]:
    """Return the topics that the file or the marks speak of."""
    topics = dict(marks.topics) if marks else {}
    return topics | {str(row[1]): (_number(row[0]), _number(row[2])) for row in found.facts["topic"].values()}


def _topics(db: sqlite3.Connection, found: _Found, marks: Marks | None) -> dict[str, tuple[int, int]]:
    """Return every topic known, adding to the new database those that only the marks or the batches speak of."""
    topics = _known_topics(found, marks)
    covered = {lane.lane for lane in _lanes(topics)}
    (last,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM batch").fetchone()
    for lane in range(1, lane_of(last) + 1):
        row = db.execute("SELECT 1 FROM batch WHERE id BETWEEN ? AND ?", (place(lane, 0), place(lane + 1, 0) - 1)).fetchone()
        if row and lane not in covered:
            topics[_UNNAMED.format(lane=lane)] = (lane, 1)
    for name, (lane, partitions) in topics.items():
        if (lane,) not in found.facts["topic"]:
            db.execute(schema.SET_TOPIC, (lane, name, partitions, None, None))
    return topics


def _lanes(topics: dict[str, tuple[int, int]]) -> Iterator[_Lane]:
    for topic, (lane, partitions) in topics.items():
        for partition in range(partitions):
            yield _Lane(topic, partition, lane + partition)


def _settle(db: sqlite3.Connection, at: _Lane, known: Fact | None, resume: int, reason: str) -> None:
    """Write a lane's bounds and size, and record what is missing from it."""
    low, high = place(at.lane, 0), place(at.lane + 1, 0) - 1
    accounted = db.execute(
        "SELECT first, next FROM quarantine WHERE topic = ? AND partition = ? ORDER BY first", (at.topic, at.partition)
    ).fetchall()
    if known is not None:
        db.execute("DELETE FROM batch WHERE id >= ? AND id <= ? AND id + count <= ?", (low, high, place(at.lane, _number(known[1]))))
    stored = [
        (offset_of(rowid), offset_of(rowid) + count)
        for rowid, count in db.execute("SELECT id, count FROM batch WHERE id BETWEEN ? AND ? ORDER BY id", (low, high))
    ]
    starts = [first for first, _ in (*stored, *accounted)]
    first = _number(known[1]) if known else min(starts, default=0)
    end = max((_number(known[2]) if known else 0, *(stop for _, stop in (*stored, *accounted))))
    reached = first
    for start, stop in sorted((*stored, *accounted)):
        if start > reached:
            _record(db, at, "lost", reached, start, reason)
        reached = max(reached, stop)
    if end > reached:
        _record(db, at, "lost", reached, end, reason)
    if known is None:
        _record(db, at, "lost", end, resume, f"{reason}; how far the partition reached is not known")
    elif resume > end:
        _record(db, at, "skipped", end, resume, "offsets left free while mending, so that none is used twice")
    (size,) = db.execute(
        "SELECT COALESCE(SUM(LENGTH(frame) + ?), 0) FROM batch WHERE id BETWEEN ? AND ?", (schema.ROW_BYTES, low, high)
    ).fetchone()
    if known is None:
        db.execute(schema.INSERT_LANE, (at.lane, first, resume, size))
    else:
        db.execute(schema.UPDATE_LANE, (at.lane, first, resume, size))


def leave_room(db: sqlite3.Connection, marks: Marks | None) -> None:
    """Let every partition go on above the ceiling: the last write was cut off, or was complete and is damaged; nobody can tell."""
    db.execute("BEGIN IMMEDIATE")
    (highest,) = db.execute("SELECT COALESCE(MAX(next), 0) FROM lane").fetchone()
    resume = resume_at(marks, highest)
    lanes = db.execute(
        """SELECT name, lane.lane - topic.lane, lane.lane, first, next, bytes
           FROM lane JOIN topic ON lane.lane >= topic.lane AND lane.lane < topic.lane + topic.partitions"""
    ).fetchall()
    for name, partition, number, first, end, size in lanes:
        lane = _Lane(name, partition, number)
        _record(db, lane, "skipped", end, resume, "the last write before the stop was cut off: it was not acknowledged, or is damaged")
        db.execute(schema.UPDATE_LANE, (number, first, resume, size))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the next opener would find the same torn pages


def _record(db: sqlite3.Connection, at: _Lane, kind: str, first: int, end: int, reason: str) -> None:
    db.execute(schema.INSERT_QUARANTINE, (kind, at.topic, at.partition, first, end, times.now(), reason, b""))

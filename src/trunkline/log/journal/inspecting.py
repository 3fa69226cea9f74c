"""Looking at a journal without changing it, beside whoever uses it: what is in it, and whether it is whole.

A journal that is opened (`trunkline.log.journal.journal`) is mended where needed; here nothing is written, so that a file can be looked at
before anybody decides.
"""

import fcntl
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from trunkline.log.journal import frames, reading, schema
from trunkline.log.journal import marks as marks_file
from trunkline.log.journal.pages import Progress, Value, wal_of
from trunkline.log.journal.salvage import beside, rebuild
from trunkline.log.journal.schema import lane_of, offset_of, place
from trunkline.log.journal.sealing import Key, needed
from trunkline.log.journal.store import TopicPlace, topic_places
from trunkline.log.port import TopicPartition
from trunkline.model.errors import CorruptData, Misconfigured

#: Batches looked at on one snapshot: a long one would keep the write-ahead log from being carried over.
_STRIDE: Final = 200
_STRUCTURE_FLAWS: Final = 100
_BUSY_SECONDS: Final = 10.0

_NEXT: Final = f"SELECT {schema.BATCH_COLUMNS} FROM batch WHERE id > ? ORDER BY id LIMIT {_STRIDE}"  # noqa: S608 - constants


class Flaw(NamedTuple):
    """Something that is not as it was written. `place`: 'topic/partition@offset to offset', a table, or a file."""

    place: str
    what: str


_Ranges = dict[TopicPartition, list[tuple[int, int]]]


class Checked(NamedTuple):
    """What was looked at.

    Attributes:
        id: the journal's identity; empty when it cannot be read.
        batches, records, bytes: that are whole.
        unopened: batches of them that are sealed and were not opened, for want of the key.
        flaws: what is wrong, in the order in which it was found.
        known: ranges that damage took earlier, on record.
    """

    id: str
    batches: int
    records: int
    bytes: int
    unopened: int
    flaws: list[Flaw]
    known: list[reading.Quarantined]


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal for reading only. Raises Misconfigured when there is none."""
    if not path.is_file():
        raise Misconfigured(f"there is no journal {path}: name its file, or the site file and --gateway")
    # SQLite would make files beside one that nobody has open
    at_rest = not beside(path, "-wal").exists()
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if at_rest else ''}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)) as db:
        db.create_function("seal", -1, schema.seal, deterministic=True)
        yield db


def require_journal(db: sqlite3.Connection, path: Path) -> None:
    """Raise Misconfigured when the file is something else or of a newer release, CorruptData when its head cannot be read."""
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise CorruptData(f"{path} cannot be read: {error}") from error
    if application != schema.APPLICATION_ID:
        if marks_file.load(beside(path, ".marks")) is None:
            raise Misconfigured(f"{path} is no journal")
        raise CorruptData(f"{path}: the file's head is damaged")
    if version not in schema.VERSIONS:
        raise Misconfigured(f"journal {path} has format {version}, this release reads {schema.SEALED_VERSION}: update Trunkline")


def records_key(db: sqlite3.Connection, key: Key | None) -> Key | None:
    """Return the key of a journal's records; None when it is not sealed, or `key` is None. Raises WrongKey."""
    wrapped = schema.fact(db, schema.KEY)
    return key.unwrap(wrapped) if key is not None and wrapped else None


class Sealing(NamedTuple):
    """How a journal is sealed: the fingerprint of the key that it needs, and the records and bytes from before, in the clear."""

    key: str
    plain_records: int
    plain_bytes: int


def sealing(db: sqlite3.Connection) -> Sealing | None:
    """Return how a journal is sealed; None when it is not.

    What is in the clear is counted from the old end of each partition up to the first sealed batch: the rest is newer.
    """
    wrapped = schema.fact(db, schema.KEY)
    if not wrapped:
        return None
    records = size = 0
    for number in _lanes(db):
        heads = db.execute(
            "SELECT codec, count, LENGTH(frame) FROM batch WHERE id >= ? AND id < ? ORDER BY id", (place(number, 0), place(number + 1, 0))
        )
        for _, count, length in takewhile(lambda head: not head[0] & frames.SEALED, heads):
            records, size = records + count, size + length
    return Sealing(needed(wrapped), records, size)


def check(path: Path, key: Key | None = None, progress: Progress = lambda _done, _of: None) -> Checked:
    """Look at every byte of a journal: structure, seals, marks, the checksum of each batch and, with the key, what is sealed.

    Args:
        path: its file.
        key: the key that its gateway has in the site file; without it sealed batches have their checksum checked alone.
        progress: told how many of how many batches are done.

    Raises:
        Misconfigured: there is no journal, one of a newer release, or one of another key.
    """
    at_rest = not beside(path, "-wal").exists()
    checked = _look(path, key, progress)
    # a gateway that was started meanwhile changes what was looked at as a file at rest
    if checked.flaws and at_rest and beside(path, "-wal").exists():
        checked = _look(path, key, progress)
    return checked


def _look(path: Path, key: Key | None, progress: Progress) -> Checked:
    with looking(path) as db:
        flaws = list(_write_ahead_log(path))
        try:
            require_journal(db, path)
        except CorruptData as error:
            return Checked("", 0, 0, 0, 0, [*flaws, Flaw("file", str(error))], [])
        identity = ""
        known: list[reading.Quarantined] = []
        batches = _Batches()
        try:
            flaws += _structure(db)
            flaws += _tables(db)
            identity = schema.journal_id(db)
            flaws += _marks(db, path, identity)
            known = reading.quarantined(db)
            batches.key = records_key(db, key)
            flaws += batches.look(db, progress)
        except (sqlite3.Error, UnicodeDecodeError, TypeError) as error:
            flaws.append(Flaw("file", f"cannot be read on: {error}"))
        return Checked(identity, batches.count, batches.records, batches.bytes, batches.unopened, flaws, known)


def _write_ahead_log(path: Path) -> Iterator[Flaw]:
    lock = None
    with suppress(FileNotFoundError):
        lock = os.open(beside(path, ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_SH)  # a writer in the middle of a transaction looks like damage
        whole = wal_of(path).whole
    finally:
        if lock is not None:
            os.close(lock)
    if not whole:
        yield Flaw("write-ahead log", "committed pages fail their checksum: SQLite would stop reading there")


def _structure(db: sqlite3.Connection) -> Iterator[Flaw]:
    for (verdict,) in db.execute(f"PRAGMA quick_check({_STRUCTURE_FLAWS})"):
        if verdict != "ok":
            for line in str(verdict).splitlines():
                if not line.startswith("***"):
                    yield Flaw("structure", line)
    if not schema.is_whole(db):
        yield Flaw("structure", "the description of the tables is not as it was written")


def _tables(db: sqlite3.Connection) -> Iterator[Flaw]:
    for table in schema.SEALED:
        names = (table.name, f"{table.name}_copy") if table.mirrored else (table.name,)
        rows: dict[str, set[tuple[Value, ...]]] = {}
        for name in names:
            # table names come from SEALED
            rows[name] = set(db.execute(f"SELECT {', '.join(table.names)} FROM {name}"))  # noqa: S608 - see above
            for values, seal in ((row[:-1], row[-1]) for row in rows[name]):
                if schema.seal(table.name, *values) != seal:
                    yield Flaw(f"table '{name}'", f"row {values[0]!r} fails its seal")
        if table.mirrored and rows[table.name] != rows[f"{table.name}_copy"]:
            yield Flaw(f"table '{table.name}'", "differs from its copy")


def _marks(db: sqlite3.Connection, path: Path, identity: str) -> Iterator[Flaw]:
    known = marks_file.load(beside(path, ".marks"))
    (highest,) = db.execute("SELECT COALESCE(MAX(next), 0) FROM lane").fetchone()
    if known is None:
        yield Flaw("marks", f"{beside(path, '.marks').name} is missing or damaged: it is written anew when the journal is opened")
    elif known.id != identity:
        yield Flaw("marks", f"{beside(path, '.marks').name} belongs to journal {known.id}, the file is {identity}")
    elif known.ceiling <= highest:
        yield Flaw("marks", f"offset {highest} passed the ceiling {known.ceiling}")


class _Lane(NamedTuple):
    at: TopicPartition
    first: int
    next: int


class _Batches:
    """Goes through all batches, some hundred on each snapshot."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self.count = self.records = self.bytes = self.unopened = 0
        self._reached: dict[int, int] = {}  # by lane, where its last batch ended

    def look(self, db: sqlite3.Connection, progress: Progress) -> Iterator[Flaw]:
        (total,) = db.execute("SELECT COUNT(*) FROM batch").fetchone()
        last, seen, more = -1, 0, True
        while more:
            db.execute("BEGIN")
            try:
                lanes = _lanes(db)
                gone = _accounted(db)
                rows = db.execute(_NEXT, (last,)).fetchall()
                more = len(rows) == _STRIDE
                for row in rows:
                    yield from self._batch(row, lanes, gone)
                following = lane_of(rows[-1][0]) if more else schema.MAX_LANES
                for lane in [lane for lane in lanes if lane < following]:
                    yield from self._end(lanes.pop(lane), lane, gone)
            finally:
                db.execute("ROLLBACK")
            last = rows[-1][0] if rows else last
            seen += len(rows)
            progress(seen, max(total, seen))

    def _batch(self, row: reading.BatchRow, lanes: dict[int, _Lane], gone: _Ranges) -> Iterator[Flaw]:
        rowid, count = row[0], row[1]
        lane, base = lanes.get(lane_of(rowid)), offset_of(rowid)
        if lane is None:
            yield Flaw(f"lane {lane_of(rowid)}@{base}", "a batch of no partition")
            return
        try:
            if closed := reading.is_sealed(row) and self.key is None:
                reading.require_whole(lane.at, row)
            else:
                reading.open_batch(lane.at, row, self.key)
        except CorruptData as error:
            yield Flaw(_range(lane.at, base, base + max(1, count)), str(error))
        else:
            self.unopened += closed
            self.count += 1
            self.records += count
            self.bytes += len(row[-1])
        reached = self._reached.get(lane_of(rowid), lane.first)
        if base < reached and lane_of(rowid) in self._reached:
            yield Flaw(_range(lane.at, base, reached), "two batches hold the same offsets")
        yield from _hole(lane, reached, base, gone)
        if base + count > lane.next:
            yield Flaw(_range(lane.at, base, base + count), f"reaches beyond the partition's end {lane.next}")
        self._reached[lane_of(rowid)] = base + count

    def _end(self, lane: _Lane, number: int, gone: _Ranges) -> Iterator[Flaw]:
        if self._reached.get(number) != -1:
            yield from _hole(lane, self._reached.get(number, lane.first), lane.next, gone)
            self._reached[number] = -1


def _hole(lane: _Lane, start: int, stop: int, gone: _Ranges) -> Iterator[Flaw]:
    start = max(start, lane.first)
    for first, following in gone[lane.at]:
        if first <= start:
            start = max(start, following)
    if start < stop:
        yield Flaw(_range(lane.at, start, stop), "records are missing, and no damage on record explains it")


def _range(at: TopicPartition, start: int, stop: int) -> str:
    return f"{at.topic}/{at.partition}@{start}" + (f" to {stop - 1}" if stop - 1 > start else "")


def _lanes(db: sqlite3.Connection) -> dict[int, _Lane]:
    bounds = {lane: (first, following) for lane, first, following in db.execute("SELECT lane, first, next FROM lane")}
    places: list[TopicPlace] = list(topic_places(db).values())
    return {
        found.lane + partition: _Lane(TopicPartition(found.name, partition), *bounds[found.lane + partition])
        for found in places
        for partition in range(found.partitions)
        if found.lane + partition in bounds
    }


def _accounted(db: sqlite3.Connection) -> _Ranges:
    """Return the ranges that damage took on record, by partition, ascending."""
    gone: _Ranges = defaultdict(list)
    for topic, partition, first, following in db.execute("SELECT topic, partition, first, next FROM quarantine ORDER BY first, next"):
        gone[TopicPartition(topic, partition)].append((first, following))
    return gone


class Partition(NamedTuple):
    """What a partition holds: offsets, bytes of its records, and the oldest and newest timestamp, µs UTC; None when it is empty."""

    at: TopicPartition
    first: int
    next: int
    bytes: int
    oldest: int | None
    newest: int | None


def partitions(db: sqlite3.Connection) -> list[Partition]:
    """Return every partition, in order of its topic's making."""
    sizes = dict(db.execute("SELECT lane, bytes FROM lane").fetchall())
    found = []
    for number, lane in sorted(_lanes(db).items()):
        low, high = place(number, 0), place(number + 1, 0) - 1
        head = db.execute("SELECT oldest FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", (low, high)).fetchone()
        tail = db.execute("SELECT newest FROM batch WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", (low, high)).fetchone()
        found.append(Partition(lane.at, lane.first, lane.next, sizes[number], head and head[0], tail and tail[0]))
    return found


def records(db: sqlite3.Connection, at: TopicPartition) -> int:
    """Return how many records of a partition there are."""
    number = next(number for number, lane in _lanes(db).items() if lane.at == at)
    low, high = place(number, 0), place(number + 1, 0) - 1
    (count,) = db.execute("SELECT COALESCE(SUM(count), 0) FROM batch WHERE id BETWEEN ? AND ?", (low, high)).fetchone()
    return int(count)


#: Bytes of a database file on which every process that has it open holds a lock in WAL mode (SQLite's SHARED_FIRST and SHARED_SIZE).
_HELD_FROM: Final = 0x40000002
_HELD_BYTES: Final = 510


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep everybody else from opening a journal. Raises Misconfigured when another process has it open."""
    try:
        file = path.open("rb+")
    except OSError as error:
        raise Misconfigured(f"journal {path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _HELD_BYTES, _HELD_FROM)
        except OSError:
            raise Misconfigured(f"journal {path} is in use: stop its gateway first") from None
        yield


def salvage_into(target: Path, source: Path, key: Key | None = None, progress: Progress = lambda _done, _of: None) -> None:
    """Carry everything that proves itself in a damaged journal into a new file; the damaged one stays as it is.

    Args:
        target: the new file.
        source: the damaged one.
        key: the key that its gateway has in the site file: what a sealed journal holds in the clear from before is sealed on the way.
        progress: told how many of how many pages were looked at.

    Raises:
        Misconfigured: the damaged file is in use or of another key, or the new one is there already.
    """
    if target.exists():
        raise Misconfigured(f"{target} is there already: name a file that is not")
    with alone(source):
        known = marks_file.load(beside(source, ".marks"))
        sealed_with = key.unwrap(known.key) if key is not None and known is not None and known.key else None
        marks = rebuild(target, source, f"salvaged out of {source.name}", known, sealed_with, progress)
        marks_file.save(beside(target, ".marks"), marks)

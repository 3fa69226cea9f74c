"""Connections to one journal file, its writers' lock, transactions, and what an SQLite error means.

Any number of threads and processes use the same file. Writers queue on an `flock` (`<name>.lock`) instead of SQLite's busy timer, which
sleeps and starves; readers never wait for them. When somebody sets a damaged file aside, everybody else notices that the path names
another file and opens that; SQLite itself leaves the write-ahead log of a file that was moved alone.
"""

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

from trunkline.log.journal import marks as marks_file
from trunkline.log.journal import salvage, schema
from trunkline.log.journal.marks import Marks
from trunkline.log.journal.pages import wal_of
from trunkline.log.journal.sealing import Key, WrongKey, needed
from trunkline.model.errors import DiskFull, Misconfigured, RetryLater
from trunkline.model.identity import uuid7

T = TypeVar("T")

#: Pages in the write-ahead log that make a writer carry them over: 4 MB, which keeps reopening after a kill quick.
_CHECKPOINT_PAGES: Final = 1024
#: Bytes of a write-ahead log that is written from its start again instead of growing.
WAL_FULL: Final = _CHECKPOINT_PAGES * schema.PAGE_SIZE
#: Files up to this size have their structure checked when they are opened; larger ones when something looks wrong.
_CHECK_UP_TO: Final = 256 << 20
_TRIES: Final = 3
_POOL: Final = 8
_BUSY_SECONDS: Final = 10.0

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
_UNWELL: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only",
    sqlite3.SQLITE_IOERR: "the disk reports an error or is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_BUSY: "another program holds the file",
    sqlite3.SQLITE_LOCKED: "another connection holds the file",
    sqlite3.SQLITE_PERM: "access is refused",
    sqlite3.SQLITE_NOMEM: "memory is exhausted",
    sqlite3.SQLITE_PROTOCOL: "another program holds the file",
}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_DAMAGED_SCHEMA: Final = ("no such table", "no such column", "Could not decode", "unsupported file format")


class Damaged(Exception):
    """The file contradicts itself; it has to be mended. Never leaves the journal."""


class Reader:
    """A read-only connection that follows the path to whatever file is there now."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._file: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = None

    def connection(self) -> sqlite3.Connection:
        """Return the connection, opened anew when the path names another file than before."""
        if self._db is None or self._file != self._store.file():
            self.close()
            self._db, self._file = self._store.open_read_only()
        return self._db

    def version(self) -> int:
        """Return a number that changes when anybody has committed (or when the file was replaced)."""
        version: int = self.connection().execute("PRAGMA data_version").fetchone()[0]
        return hash((self._file, version))

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


class Store:
    """One journal file.

    Attributes:
        path: the file.
        key: seals and opens its records; None in a journal that is not sealed.
        marks: what its small file says.
        changed: notified after every write of this process.
    """

    def __init__(self, path: Path, given: Key | None = None) -> None:
        self.path = path
        self.key: Key | None = None
        self._given = given
        self.changed = threading.Condition()
        self.marks = Marks("")
        self._marks_path = salvage.beside(path, ".marks")
        self._mutex = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._writer_file: tuple[int, int] | None = None
        self._checked = False
        self._pool: list[Reader] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(salvage.beside(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RetryLater(f"journal {path} cannot be opened: {error}") from error
        try:
            self._require_key()
            self.write(schema.journal_id)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ transactions

    def read(self, work: Callable[[sqlite3.Connection], T], reader: Reader | None = None) -> T:
        """Run `work` on one snapshot. It may be run again when the file had to be mended in between."""
        for _ in range(_TRIES):
            mine = reader or self._take()
            try:
                db = mine.connection()
                db.execute("BEGIN")
                try:
                    return work(db)
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except (sqlite3.Error, UnicodeDecodeError, Damaged) as error:
                mine.close()
                reason = self._damage(error)
            finally:
                if reader is None:
                    self._give(mine)
            with self._exclusive():
                if self.file() == mine._file:  # noqa: SLF001 - nobody mended it meanwhile
                    self._mend(reason)
        raise RetryLater(f"journal {self.path} stays damaged however often it is mended: {reason}")

    def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run `work` in one durable transaction, alone among all writers of all processes.

        Errors raised by `work` roll everything back. It may be run again when the file had to be mended in between.

        Args:
            work: what to do.
            durable: False leaves the fsync to the next transaction that asks for one; for what may be forgotten in a power cut.
        """
        reason = ""
        for _ in range(_TRIES):
            with self._exclusive():
                try:
                    result = self._transaction(self._current(), work, durable)
                except (sqlite3.Error, UnicodeDecodeError, Damaged) as error:
                    reason = self._damage(error)
                    self._mend(reason)
                    continue
                except OSError as error:
                    kind = DiskFull if error.errno in _FULL else RetryLater
                    raise kind(f"journal {self.path} cannot be written: {error}") from error
            with self.changed:
                self.changed.notify_all()
            return result
        raise RetryLater(f"journal {self.path} stays damaged however often it is mended: {reason}")

    def _transaction(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], durable: bool) -> T:
        if not durable:
            db.execute("PRAGMA synchronous = NORMAL")
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            try:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            except sqlite3.Error:
                self._close_writer()
            raise
        else:
            return result
        finally:
            if not durable:
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA synchronous = FULL")

    def checkpoint(self) -> None:
        """Carry the write-ahead log over into the file, as far as no reader is in the way."""
        with self._exclusive():
            try:
                self._current().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                self._mend(self._damage(error))

    def rewrite(self) -> None:
        """Write the file anew in one transaction, with the pointer map that lets it shrink from then on. Everybody else waits."""
        with self._exclusive():
            try:
                db = self._current()
                db.execute("PRAGMA temp_store = MEMORY")
                schema.let_shrink(db)
                db.execute("VACUUM")
            except sqlite3.Error as error:
                self._mend(self._damage(error))

    def reserve(self, offset: int) -> None:
        """Make sure, inside a write, that the marks' ceiling is above `offset`."""
        if offset < self.marks.ceiling:
            return
        known = marks_file.load(self._marks_path) or self.marks
        if offset >= known.ceiling:
            known = known.above(offset)
            marks_file.save(self._marks_path, known)
        self.marks = known

    def remember_topics(self, topics: dict[str, tuple[int, int]]) -> None:
        """Write, inside a write, where the topics' partitions lie."""
        known = marks_file.load(self._marks_path) or self.marks
        self.marks = replace(known, topics=topics)
        marks_file.save(self._marks_path, self.marks)

    def close(self) -> None:
        """Close every connection; the write-ahead log is carried over when nobody else has the file open."""
        with self._mutex:
            for reader in self._pool:
                reader.close()
            self._pool.clear()
            self._close_writer()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    # ------------------------------------------------------------------ connections

    def file(self) -> tuple[int, int] | None:
        """Return what identifies the file at the path now; None when there is none."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on the hot path
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def open_read_only(self) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
        """Open a connection under the writers' lock, so that file and write-ahead log belong together."""
        with self._exclusive():
            if self.file() is None:
                self._current()
            db = self._connect("ro")
            db.execute("PRAGMA schema_version").fetchone()
            return db, self.file()

    def _take(self) -> Reader:
        try:
            return self._pool.pop()
        except IndexError:
            return Reader(self)

    def _give(self, reader: Reader) -> None:
        if len(self._pool) < _POOL and self._lock >= 0:
            self._pool.append(reader)
        else:
            reader.close()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._mutex:
            if self._lock < 0:
                raise RetryLater(f"journal {self.path} is closed")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS, cached_statements=256)

    def _current(self) -> sqlite3.Connection:
        """Return the writer's connection to the file that the path names now."""
        if self._writer is not None and self._writer_file == self.file() is not None:
            return self._writer
        self._close_writer()
        if salvage.unfinished(self.path):
            self._mend("")
        elif self.file() is None:
            self._create()
        db = self._writer = self._connect("rw")
        db.create_function("seal", -1, schema.seal, deterministic=True)
        if not self._checked:
            self._check(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {2 * _CHECKPOINT_PAGES * schema.PAGE_SIZE}")
        db.execute("PRAGMA cache_size = -8000")
        self._admit(db)
        self._recall(db)
        self._writer_file = self.file()
        return db

    def _close_writer(self) -> None:
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None

    def _create(self) -> None:
        known = marks_file.load(self._marks_path)
        if known is not None:
            self._mend("the journal file was gone")
            return
        self.marks = Marks(str(uuid7()))
        marks_file.save(self._marks_path, self.marks)
        fresh = salvage.beside(self.path, ".fresh")
        fresh.unlink(missing_ok=True)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = EXTRA")
            schema.create(db, self.marks.id)
            db.execute("PRAGMA journal_mode = WAL")
        fresh.replace(self.path)
        marks_file.sync_folder(self.path.parent)

    def _recall(self, db: sqlite3.Connection) -> None:
        """Take over the marks; write them anew from the database when they are missing or of another journal."""
        journal_id = schema.journal_id(db)
        (highest,) = db.execute("SELECT COALESCE(MAX(next), 0) FROM lane").fetchone()
        known = marks_file.load(self._marks_path)
        wrapped = schema.fact(db, schema.KEY) or ""
        if known is None or known.id != journal_id or known.ceiling <= highest:
            topics = {name: (lane, partitions) for name, lane, partitions in db.execute("SELECT name, lane, partitions FROM topic")}
            known = Marks(journal_id, known.ceiling if known else 0, topics, wrapped).above(highest)
            marks_file.save(self._marks_path, known)
        elif known.key != wrapped:
            known = replace(known, key=wrapped)
            marks_file.save(self._marks_path, known)
        self.marks = known

    # ------------------------------------------------------------------ key

    def _require_key(self) -> None:
        """Refuse a missing or wrong key before anything is touched. Raises WrongKey."""
        with self._exclusive():
            wrapped = [one for one in self._wrapped() if one]
        reason: WrongKey | None = None
        for one in wrapped:
            try:
                self._unwrap(one)
            except WrongKey as error:
                reason = reason or error
            else:
                return
        if reason is not None:
            raise reason

    def _wrapped(self) -> Iterator[str]:
        """Yield the wrapped key as far as it can be read, from the file first."""
        if self.file() is not None:
            # SQLite would make files beside one that nobody has open
            mode = "ro" if salvage.beside(self.path, "-wal").exists() else "ro&immutable=1"
            with suppress(sqlite3.Error, UnicodeDecodeError), closing(self._connect(mode)) as db:
                yield schema.fact(db, schema.KEY) or ""
        known = marks_file.load(self._marks_path)
        yield known.key if known else ""

    def _unwrap(self, wrapped: str) -> Key:
        if self._given is None:
            raise WrongKey(f"journal {self.path} is sealed with the key {needed(wrapped)}, and no key was given")
        try:
            return self._given.unwrap(wrapped)
        except WrongKey as error:
            raise WrongKey(f"journal {self.path} is {error}") from None

    def _admit(self, db: sqlite3.Connection) -> None:
        """Take the key of the file's records out of its wrapping; make one when the first key was given. Raises WrongKey."""
        wrapped = schema.fact(db, schema.KEY)
        if wrapped is not None:
            self.key = self._unwrap(wrapped)
        elif self._given is not None:
            fresh = self.key or Key.random()
            wrapped = self._given.wrap(fresh)
            self._transaction(db, lambda db: schema.set_wrapped_key(db, wrapped), durable=True)
            self.key = fresh

    def rewrap(self, given: Key) -> None:
        """Wrap the key of the records with another one, and leave nothing of the wrapping before in the file or its write-ahead log.

        Raises:
            RetryLater: somebody reads all the time, so that the write-ahead log cannot be emptied; the new key is in force.
        """
        key = self.key
        if key is None:
            raise Misconfigured(f"journal {self.path} is not sealed: give its gateway a key and start it")
        with self._exclusive():
            db = self._current()
            db.execute("PRAGMA secure_delete = ON")
            try:
                self._transaction(db, lambda db: schema.set_wrapped_key(db, given.wrap(key)), durable=True)
                self._given = given
                self._recall(db)
                (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise RetryLater(f"journal {self.path} cannot be given another key now: {error}") from error
            finally:
                db.execute("PRAGMA secure_delete = OFF")
        if busy:
            raise RetryLater(f"journal {self.path} has the new key, but its write-ahead log is in use and may hold the old one: try again")

    # ------------------------------------------------------------------ damage

    def _check(self, db: sqlite3.Connection) -> None:
        """Look at a file before its first use. Raises Damaged, Misconfigured."""
        wal = wal_of(self.path)
        if not wal.whole:
            raise Damaged("committed pages of the write-ahead log fail their checksum")
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != schema.APPLICATION_ID:
            if marks_file.load(self._marks_path) is None:
                raise Misconfigured(f"{self.path} is an SQLite file but no journal: give the journal a path of its own")
            raise Damaged("the file's head is damaged")
        if version not in schema.VERSIONS:
            if version > 1 << 16:
                raise Damaged("the file's head is damaged")
            raise Misconfigured(f"journal {self.path} has format {version}, this release reads {schema.SEALED_VERSION}: update Trunkline")
        if not schema.is_whole(db):
            raise Damaged("the description of the tables is damaged")
        if self.path.stat().st_size <= _CHECK_UP_TO:
            require_sound(db)
        if (table := schema.first_difference(db)) is not None:
            raise Damaged(f"table '{table}' differs from its copy or its index")
        if wal.torn:
            salvage.leave_room(db, marks_file.load(self._marks_path))
        self._checked = True

    def _mend(self, reason: str) -> None:
        """Set the file aside and salvage what proves itself. The lock is held."""
        self._close_writer()
        self._checked = False
        try:
            self.marks = salvage.mend(self.path, reason, marks_file.load(self._marks_path), self.key)
            marks_file.save(self._marks_path, self.marks)
        except OSError as error:
            raise RetryLater(f"journal {self.path} is damaged ({reason}) and cannot be mended now: {error}") from error
        except sqlite3.Error as error:
            raise RetryLater(f"journal {self.path} is damaged ({reason}) and cannot be mended now: {error}") from error

    def _damage(self, error: sqlite3.Error | UnicodeDecodeError | Damaged) -> str:
        """Return what is damaged; raise what else the error means."""
        if not isinstance(error, sqlite3.Error):  # SQLite quotes damaged names in its messages
            return str(error)
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        text = str(error)
        if primary in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ or any(sign in text for sign in _DAMAGED_SCHEMA):
            return text
        if primary in _UNWELL:
            # quotas and limits on a file's size are told like this
            kind = DiskFull if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_WRITE else RetryLater
            raise kind(f"journal {self.path} cannot be used: {_UNWELL[primary]} ({text})") from error
        raise error


def require_sound(db: sqlite3.Connection) -> None:
    """Check the structure of the whole file. Raises Damaged."""
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(str(verdict).splitlines()[-1])


class TopicPlace(NamedTuple):
    """Where a topic's partitions lie: partition p is lane `lane + p`."""

    name: str
    lane: int
    partitions: int


def topic_places(db: sqlite3.Connection) -> dict[str, TopicPlace]:
    """Return every topic."""
    rows = db.execute("SELECT name, lane, partitions FROM topic")
    return {name: TopicPlace(name, lane, partitions) for name, lane, partitions in rows}

"""Tables of the journal, and what guards their rows.

SQLite has no checksums of its own. A batch carries a CRC-32 of its bytes and its place. The small tables (topics, lanes, positions,
counters, facts) carry a **seal**, a CRC-32 over the table's name and the row, a revision that grows with every change, and are kept
twice, on different pages: triggers copy every row to `<table>_copy`. So a single damaged page loses none of them, and a row found
anywhere in a damaged file tells by itself what it is, whether it is whole, and which of two versions is newer.

A **lane** is one partition of one topic; the lanes of a topic are numbered one after the other. A batch's rowid holds its lane and base
offset, so that reading on from an offset is one seek in one B-tree and large frames lie where SQLite handles them best.
"""

import sqlite3
import struct
import zlib
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Final

from trunkline.log.port import TopicPartition

APPLICATION_ID: Final = 0x54724C6B  # 'TrLk'
#: The format of a file, and that of one with sealed batches, which earlier releases would take for damaged ones.
PLAIN_VERSION: Final = 1
SEALED_VERSION: Final = 2
VERSIONS: Final = (PLAIN_VERSION, SEALED_VERSION)
PAGE_SIZE: Final = 4096

OFFSET_BITS: Final = 47
_INCREMENTAL: Final = 2  # of SQLite's auto_vacuum: pages go when they are asked to

MAX_LANES: Final = 1 << (63 - OFFSET_BITS)
_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1

#: What a batch costs beside its frame, for accounting: cell, columns, B-tree.
ROW_BYTES: Final = 64

_BATCH_HEAD: Final = struct.Struct("<qIqqqB")


def place(lane: int, offset: int) -> int:
    """Return the rowid of a batch that starts at `offset` of `lane`."""
    return lane << OFFSET_BITS | offset


def lane_of(rowid: int) -> int:
    """Return the lane of a batch."""
    return rowid >> OFFSET_BITS


def offset_of(rowid: int) -> int:
    """Return the base offset of a batch."""
    return rowid & _OFFSET_MASK


def batch_crc(rowid: int, count: int, oldest: int, newest: int, appended: int, codec: int, frame_crc: int) -> int:
    """Return the check of a batch: over its frame (whose CRC-32 is given) and then its other columns."""
    return zlib.crc32(_BATCH_HEAD.pack(rowid, count, oldest, newest, appended, codec & 0xFF), frame_crc)


def batch_binding(at: TopicPartition, rowid: int, count: int, oldest: int, newest: int, appended: int, codec: int) -> bytes:
    """Return what a sealed frame is bound to: topic, partition, offset and every other column but the check."""
    return _BATCH_HEAD.pack(rowid, count, oldest, newest, appended, codec & 0xFF) + f"{at.topic}/{at.partition}".encode()


def seal(table: str, *values: int | str | bytes | None) -> int:
    """Return the check of a row of a sealed table: values in column order, the revision last."""
    return zlib.crc32(repr((table, *values)).encode())


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table whose rows carry a seal.

    Attributes:
        name: the table.
        columns: name and declaration of each column, without `rev` and `seal`.
        key: columns that make a row unique.
        mirrored: whether a copy is kept.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    mirrored: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, as stored."""
        return (*(name for name, _ in self.columns), "rev", "seal")

    @property
    def rowid_column(self) -> int | None:
        """Position of the column that is the rowid, which SQLite stores as NULL; None when there is none."""
        return next((place for place, (_, kind) in enumerate(self.columns) if kind == "INTEGER PRIMARY KEY"), None)

    def ddl(self) -> list[str]:
        """Return the statements that create the table, its copy and the triggers between them."""
        body = ", ".join(f"{name} {kind}" for name, kind in self.columns)
        unique = "" if "PRIMARY KEY" in body else f", UNIQUE ({', '.join(self.key)})"
        body = f"({body}, rev INTEGER NOT NULL, seal INTEGER NOT NULL{unique}) STRICT"
        if not self.mirrored:
            return [f"CREATE TABLE {self.name} {body}"]
        new = ", ".join(f"NEW.{name}" for name in self.names)
        changes = ", ".join(f"{name} = NEW.{name}" for name in self.names if name not in self.key)
        where = " AND ".join(f"{name} = NEW.{name}" for name in self.key)
        copy = f"{self.name}_copy"
        insert = f"INSERT OR REPLACE INTO {copy} VALUES ({new})"  # noqa: S608 - names are constants of this module
        update = f"UPDATE {copy} SET {changes} WHERE {where}"  # noqa: S608 - names are constants of this module
        return [
            f"CREATE TABLE {self.name} {body}",
            f"CREATE TABLE {copy} {body}",
            f"CREATE TRIGGER {self.name}_insert AFTER INSERT ON {self.name} BEGIN {insert}; END",
            f"CREATE TRIGGER {self.name}_update AFTER UPDATE ON {self.name} BEGIN {update}; END",
        ]


_INT: Final = "INTEGER NOT NULL"
_TEXT: Final = "TEXT NOT NULL"

SEALED: Final = (
    Sealed(
        "topic",
        (
            ("lane", "INTEGER PRIMARY KEY"),
            ("name", "TEXT NOT NULL UNIQUE"),
            ("partitions", _INT),
            ("retention_us", "INTEGER"),
            ("retention_bytes", "INTEGER"),
        ),
        ("lane",),
    ),
    Sealed("lane", (("lane", "INTEGER PRIMARY KEY"), ("first", _INT), ("next", _INT), ("bytes", _INT)), ("lane",)),
    Sealed("position", (("grp", _TEXT), ("lane", _INT), ("next", _INT)), ("grp", "lane")),
    Sealed("tally", (("name", "TEXT NOT NULL PRIMARY KEY"), ("value", _INT)), ("name",)),
    Sealed("meta", (("name", "TEXT NOT NULL PRIMARY KEY"), ("value", _TEXT)), ("name",)),
    Sealed(
        "quarantine",
        (
            ("id", "INTEGER PRIMARY KEY"),
            ("kind", _TEXT),
            ("topic", _TEXT),
            ("partition", _INT),
            ("first", _INT),
            ("next", _INT),
            ("at", _INT),
            ("reason", _TEXT),
            ("frame", "BLOB NOT NULL"),
        ),
        ("id",),
        mirrored=False,
    ),
)

_PLAIN: Final = (
    f"""CREATE TABLE batch (id INTEGER PRIMARY KEY, count {_INT}, oldest {_INT}, newest {_INT}, appended {_INT},
        crc {_INT}, codec {_INT}, frame BLOB NOT NULL) STRICT""",
    # who reads what is not worth salvaging: members join again
    f"""CREATE TABLE member (grp {_TEXT}, name {_TEXT}, epoch {_INT}, heartbeat {_INT}, topics {_TEXT},
        PRIMARY KEY (grp, name)) WITHOUT ROWID, STRICT""",
    f"CREATE TABLE generation (grp TEXT PRIMARY KEY, value {_INT}) WITHOUT ROWID, STRICT",
    f"""CREATE TABLE lease (grp {_TEXT}, lane {_INT}, member {_TEXT}, since {_INT},
        PRIMARY KEY (grp, lane)) WITHOUT ROWID, STRICT""",
)

#: Name under which the journal's own id is kept in `meta`; names of callers may not start with the prefix.
RESERVED: Final = "journal."
ID: Final = RESERVED + "id"
#: The key of the file's records, wrapped by the key of the site file; there is none in a journal that was never sealed.
KEY: Final = RESERVED + "key"

#: Columns of a batch: rowid, records, smallest, largest timestamp, time of the append (all µs UTC), check, codec, bytes.
BATCH_COLUMNS: Final = "id, count, oldest, newest, appended, crc, codec, frame"
INSERT_BATCH: Final = f"INSERT INTO batch ({BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
SELECT_BATCH: Final = f"SELECT {BATCH_COLUMNS} FROM batch WHERE id = ?"  # noqa: S608 - constants

SELECT_LANE: Final = "SELECT first, next, bytes FROM lane WHERE lane = ?"
UPDATE_LANE: Final = """
    UPDATE lane SET first = ?2, next = ?3, bytes = ?4, rev = rev + 1, seal = seal('lane', lane, ?2, ?3, ?4, rev + 1) WHERE lane = ?1"""
#: The lanes of an append, read at once and written at once: their seals come from Python, which is cheaper than a call back out of SQLite.
SELECT_LANES: Final = "SELECT lane, first, next, bytes, rev FROM lane WHERE lane BETWEEN ? AND ?"
MOVE_LANE: Final = "UPDATE lane SET next = ?2, bytes = ?3, rev = ?4, seal = ?5 WHERE lane = ?1"
INSERT_LANE: Final = "INSERT INTO lane VALUES (?1, ?2, ?3, ?4, 1, seal('lane', ?1, ?2, ?3, ?4, 1))"

SET_TOPIC: Final = """
    INSERT INTO topic VALUES (?1, ?2, ?3, ?4, ?5, 1, seal('topic', ?1, ?2, ?3, ?4, ?5, 1))
    ON CONFLICT (lane) DO UPDATE SET retention_us = ?4, retention_bytes = ?5, rev = rev + 1,
        seal = seal('topic', lane, name, partitions, ?4, ?5, rev + 1)"""

SET_POSITION: Final = """
    INSERT INTO position VALUES (?1, ?2, ?3, 1, seal('position', ?1, ?2, ?3, 1))
    ON CONFLICT (grp, lane) DO UPDATE SET next = ?3, rev = rev + 1, seal = seal('position', grp, lane, ?3, rev + 1)"""

#: Counters and facts change with nearly every append; as with lanes, their seals come from Python.
SELECT_TALLY: Final = "SELECT value, rev FROM tally WHERE name = ?"
PUT_TALLY: Final = """
    INSERT INTO tally VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET value = ?2, rev = ?3, seal = ?4"""
SELECT_META_REVISION: Final = "SELECT rev FROM meta WHERE name = ?"
PUT_META: Final = """
    INSERT INTO meta VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET value = ?2, rev = ?3, seal = ?4"""

SET_META: Final = """
    INSERT INTO meta VALUES (?1, ?2, 1, seal('meta', ?1, ?2, 1))
    ON CONFLICT (name) DO UPDATE SET value = ?2, rev = rev + 1, seal = seal('meta', name, ?2, rev + 1)"""

INSERT_QUARANTINE: Final = """
    INSERT INTO quarantine
    SELECT n, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, seal('quarantine', n, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)
    FROM (SELECT COALESCE(MAX(id), 0) + 1 AS n FROM quarantine)"""


def create(db: sqlite3.Connection, journal_id: str, *, shrinks: bool = True) -> None:
    """Create every table in an empty database, in one transaction.

    Args:
        db: the database.
        journal_id: the journal's id.
        shrinks: whether the file keeps the pointer map without which it cannot give pages back to the disk; those of earlier releases
            have none.
    """
    db.create_function("seal", -1, seal, deterministic=True)
    db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL if shrinks else 0}")
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {PLAIN_VERSION}")
    for statement in (*_PLAIN, *(line for table in SEALED for line in table.ddl())):
        db.execute(statement)
    db.execute(SET_META, (ID, journal_id))
    db.execute("COMMIT")


def _description(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY type, name").fetchall()


@cache
def _as_created(*, shrinks: bool) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create(db, "", shrinks=shrinks)
        return _description(db)


def shrinks(db: sqlite3.Connection) -> bool:
    """Return whether the file can give pages back to the disk."""
    (kind,) = db.execute("PRAGMA auto_vacuum").fetchone()
    return bool(kind == _INCREMENTAL)


def is_whole(db: sqlite3.Connection) -> bool:
    """Return whether the database's description of its tables is as `create` wrote it."""
    return _description(db) == _as_created(shrinks=shrinks(db))


def let_shrink(db: sqlite3.Connection) -> None:
    """Ask for the pointer map; the file has it once it was written anew."""
    db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")


def journal_id(db: sqlite3.Connection) -> str:
    """Return the journal's id."""
    value: str = db.execute("SELECT value FROM meta WHERE name = ?", (ID,)).fetchone()[0]
    return value


def fact(db: sqlite3.Connection, name: str) -> str | None:
    """Return a stored fact, None when there is none."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def set_wrapped_key(db: sqlite3.Connection, wrapped: str) -> None:
    """Store the wrapped key, inside a transaction; earlier releases refuse the file from then on."""
    db.execute(SET_META, (KEY, wrapped))
    db.execute(f"PRAGMA user_version = {SEALED_VERSION}")


def first_difference(db: sqlite3.Connection) -> str | None:
    """Return the name of a table that differs from its copy or its index, or None."""
    for table in SEALED:
        if db.execute(f"PRAGMA integrity_check({table.name})").fetchone() != ("ok",):
            return table.name
        if not table.mirrored:
            continue
        columns = ", ".join(table.names)
        for one, other in ((table.name, f"{table.name}_copy"), (f"{table.name}_copy", table.name)):
            # table names come from SEALED above
            if db.execute(f"SELECT {columns} FROM {one} EXCEPT SELECT {columns} FROM {other} LIMIT 1").fetchone():  # noqa: S608 - see above
                return table.name
    return None

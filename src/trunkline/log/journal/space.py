"""What a journal takes on its disk, and giving it back.

Records that are deleted leave free pages behind, which are used again before the file grows. When a backlog is gone they are given back in
short transactions: SQLite moves the pages at the end of the file into free ones in front and cuts the file off (file format, section 1.8).
"""

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.log.journal.schema import PAGE_SIZE
from trunkline.model.errors import NoRoom

#: Pages given back in one transaction, so that appends never wait long.
STEP_PAGES: Final = 256
_SLACK_BYTES: Final = 1 << 20


class Space(NamedTuple):
    """Bytes on the disk.

    Attributes:
        file: the file, with what its write-ahead log has yet to add.
        free: pages of it that hold nothing.
        wal: the write-ahead log.
    """

    file: int
    free: int
    wal: int

    @property
    def used(self) -> int:
        """Pages that hold something."""
        return self.file - self.free

    @property
    def disk(self) -> int:
        """All of it."""
        return self.file + self.wal

    @property
    def slack(self) -> int:
        """Free pages that are worth keeping for what comes next."""
        return max(_SLACK_BYTES, self.used // 10)

    @property
    def wasteful(self) -> bool:
        """Whether so much is free that it should be given back to the disk, down to `slack`."""
        return self.free > 2 * self.slack


def measure(db: sqlite3.Connection, wal: Path) -> Space:
    """Return what a journal takes; inside a transaction, with what that has changed. `wal` is the path of its write-ahead log."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    try:
        log = wal.stat().st_size
    except FileNotFoundError:
        log = 0
    return Space(pages * PAGE_SIZE, free * PAGE_SIZE, log)


def require_within(db: sqlite3.Connection, limit: int) -> None:
    """Raise NoRoom when the transaction makes the pages in use exceed `limit` bytes."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    if (pages - free) * PAGE_SIZE > limit:
        raise NoRoom(f"the {limit:,} bytes that these records may use are used up")


def give_back(db: sqlite3.Connection, keep: int) -> bool:
    """Give back up to `STEP_PAGES` free pages, inside a transaction, leaving `keep` bytes of them; return whether there are more."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    surplus: int = free - keep // PAGE_SIZE
    if surplus <= 0:
        return False
    # a page a call: the statement yields after each, and the sqlite3 module then takes it for done
    for _ in range(min(surplus, STEP_PAGES)):
        db.execute("PRAGMA incremental_vacuum(1)")
    (left,) = db.execute("PRAGMA freelist_count").fetchone()
    return left < free and surplus > STEP_PAGES

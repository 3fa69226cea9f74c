"""The file that knows users, sessions and tokens: hashes only. SQLite under <data>/security, readable by its owner only."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trunkline.model.errors import CorruptData, Misconfigured, RetryLater

DIRECTORY: Final = "security"
FILE: Final = "security.db"

_SCHEMA: Final = """
CREATE TABLE user (
    name TEXT PRIMARY KEY,
    role INTEGER NOT NULL,
    hash TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL
) STRICT;
CREATE TABLE session (
    digest BLOB PRIMARY KEY,
    user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    created_us INTEGER NOT NULL,
    seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user);
CREATE TABLE token (
    name TEXT PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    role INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
"""
_VERSION: Final = 1


class Store:
    """One connection for reads and one for writes, shared by threads; several processes may open the same file.

    A read never waits for a write to reach the disk: sessions are looked up on the event loop.
    """

    def __init__(self, data_dir: Path) -> None:
        """Open the store, and create it when it is missing.

        Raises:
            Misconfigured: the directory cannot be written, or a newer version wrote the file.
            CorruptData: the file is damaged.
        """
        self.path = data_dir / DIRECTORY / FILE
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # made before SQLite sees it: its side files take over the mode
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.path.chmod(0o600)
            self._connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=10)
            self._prepare()
            self._reader = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=10)
            self._reader.execute("PRAGMA query_only = ON")
        except OSError as error:
            raise Misconfigured(f"{self.path} cannot be opened: {error.strerror}") from error
        except (sqlite3.OperationalError, RetryLater) as error:
            raise Misconfigured(f"{self.path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CorruptData(f"{self.path} is damaged: {error}; restore it, or remove it to get a new administrator") from error

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "foreign_keys = ON", "secure_delete = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.writing() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise Misconfigured(f"{self.path} was written by another version (format {version}, this one reads {_VERSION})")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for reads."""
        with self._read_lock:
            yield self._reader

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold the connection for writes in one transaction: all of it or nothing.

        Args:
            durable: on disk before it returns; otherwise a power failure may undo it, a killed process may not.

        Raises:
            RetryLater: the disk is full or the file locked; nothing was written.
        """
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._roll_back()
                raise RetryLater(f"{self.path} cannot be written: {error}") from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            self._connection.close()

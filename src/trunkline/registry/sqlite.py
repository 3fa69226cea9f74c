"""The registry's storage in one SQLite file: the embedded default."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.registry.storage import TABLES, Parameter, Row, Session

_BUSY_SECONDS: Final = 30.0


class SqliteSession:
    """A transaction on a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """See `Session`."""
        return self._connection.execute(statement, parameters).fetchall()


class SqliteDatabase:
    """One file, any number of threads and processes.

    Args:
        file: created if missing, readable by its owner only.

    Raises:
        Misconfigured: the file cannot be opened or is no database.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            with self.writing() as session:
                for statement in TABLES:
                    session.run(statement)
        except (OSError, RetryLater) as error:
            raise Misconfigured(f"the schema registry's file {file} cannot be opened: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See `Database`."""
        with self._transaction("BEGIN") as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """See `Database`."""
        with self._transaction("BEGIN IMMEDIATE") as session:
            yield session

    def close(self) -> None:
        """See `Database`."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        connection = self._take()
        try:
            connection.execute(begin)
            yield SqliteSession(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()  # undoes what was not committed
            if isinstance(error, sqlite3.Error):
                raise RetryLater(f"the schema registry's file {self._file} is not usable now: {error}") from error
            raise
        with self._lock:
            self._idle.append(connection)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            connection = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise RetryLater(f"the schema registry's file {self._file} cannot be opened: {error}") from error
        return connection

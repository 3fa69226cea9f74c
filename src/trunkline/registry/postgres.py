"""The registry's storage in PostgreSQL: for several registries beside each other, or where a server is kept anyway."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.registry.storage import TABLES, Parameter, Row, Session

_SCHEMA: Final = "schema_registry"
#: Number of the advisory lock that writers queue on.
_PEN: Final = 7_263_519_406

_Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresSession:
    """A transaction on a connection."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def run(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """See `Session`."""
        cursor = self._connection.execute(statement.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description else []


class PostgresDatabase:
    """A schema of its own in any PostgreSQL database; connections are opened when needed and thrown away when broken.

    Args:
        conninfo: PostgreSQL connection string.

    Raises:
        RetryLater: the server is away, or refuses the login.
        Misconfigured: this user may not create the schema.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        with self.writing() as session:
            session.run(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
            for statement in TABLES:
                session.run(statement)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See `Database`."""
        with self._transaction() as session:
            session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """See `Database`."""
        with self._transaction() as session:
            session.run("SELECT pg_advisory_xact_lock(?)", (_PEN,))
            yield session

    def close(self) -> None:
        """See `Database`."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        connection = self._take()
        try:
            with connection.transaction():
                yield PostgresSession(connection)
        except psycopg.Error as error:
            connection.close()
            raise _meaning(error) from error
        finally:
            self._put_back(connection)

    def _take(self) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._opened()
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                connection.close()  # the server was started anew meanwhile
            else:
                return connection

    def _opened(self) -> _Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=10, application_name="trunkline registry")
            connection.execute(f"SET search_path = {_SCHEMA}")
        except psycopg.Error as error:
            raise _meaning(error) from error
        return connection

    def _put_back(self, connection: _Connection) -> None:
        if not connection.closed and not connection.broken:
            with self._lock:
                self._idle.append(connection)


def _meaning(error: psycopg.Error) -> Misconfigured | RetryLater:
    """A refused login has no code that tells it from a server that is away: both are said in PostgreSQL's words and tried again."""
    text = f"the schema registry's PostgreSQL: {str(error).strip()}"
    return Misconfigured(text) if isinstance(error, psycopg.errors.InsufficientPrivilege) else RetryLater(text)

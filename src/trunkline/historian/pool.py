"""A small pool of read-only connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.historian.db import Connection, connect, translated
from trunkline.historian.pgbinary import register
from trunkline.model.errors import NotConnected, RetryLater


class Pool:
    """Hands out up to `size` connections to threads; opened when first needed, thrown away when broken.

    Args:
        conninfo: PostgreSQL connection string.
        size: most connections at once.
        statement_timeout: seconds after which the server ends a statement.
    """

    def __init__(self, conninfo: str, size: int, statement_timeout: float) -> None:
        self._conninfo = conninfo
        self._timeout = statement_timeout
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection inside a read-only transaction: everything read in it is of one moment.

        Raises:
            RetryLater: every connection stayed busy for longer than a statement may take, or PostgreSQL is away.
        """
        if not self._free.acquire(timeout=self._timeout):
            raise RetryLater("every connection to the historian is busy")
        try:
            connection = self._take()
            try:
                with translated(), connection.transaction():
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                if self._closed:
                    raise NotConnected("the reader is closed")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = connect(self._conninfo, statement_timeout=self._timeout, name="trunkline reader", autocommit=True)
                register(connection)
                return connection
            if _alive(connection):
                return connection

    def _put_back(self, connection: Connection) -> None:
        with self._lock:
            keep = not self._closed and not connection.closed and not connection.broken
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()


def _alive(connection: Connection) -> bool:
    """Return whether an idle connection still works: the server may have been started anew meanwhile."""
    try:
        with translated():
            connection.execute("")
    except RetryLater:
        connection.close()
        return False
    return True

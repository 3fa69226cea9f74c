"""PostgreSQL and SQLite, to be read only: rows of a query, in a session that cannot write and does not run for ever."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trunkline.model.errors import Misconfigured, SourceMisconfigured, SourceUnavailable
from trunkline.sources.sql.config import PARAMETER, SqlConfig, with_parameter

Since: TypeAlias = int | float | str

_STEPS: Final = 10_000
#: What a human has to mend (PostgreSQL 18, Appendix A): authentication, database, syntax and access, read-only.
_MISCONFIGURED: Final = ("28", "3D", "42", "0A", "22")
_UNWELL: Final = {
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: create or mount it, let the gateway's user read it, or mend 'file'",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}


class Result(NamedTuple):
    """What a query gives.

    Attributes:
        columns: names.
        fetch: returns the next rows, at most so many.
    """

    columns: tuple[str, ...]
    fetch: Callable[[int], list[tuple[Any, ...]]]


class Database(Protocol):
    """A database; used by one thread at a time, but for `stop`."""

    def run(self, since: Since) -> Any:  # noqa: ANN401 - a context manager that gives a Result
        """Run the query. Raises SourceUnavailable, SourceMisconfigured."""
        ...

    def stop(self) -> None:
        """End a query that is running; from any thread."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Sqlite:
    """A SQLite file, opened for each run: another file of that name is noticed, and the writer is never kept waiting."""

    def __init__(self, config: SqlConfig) -> None:
        """Prepare; nothing is opened."""
        self._config = config
        self._stopped = False

    @contextmanager
    def run(self, since: Since) -> Iterator[Result]:
        """Run the query on a connection that cannot write."""
        ends = time.monotonic() + self._config.timeout
        try:
            address = f"file:{quote(self._config.file)}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=self._config.timeout, isolation_level=None)) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.set_progress_handler(lambda: self._stopped or time.monotonic() > ends, _STEPS)
                parameters = {PARAMETER[1:]: since} if self._config.cursor else {}
                with closing(connection.execute(self._config.query, parameters)) as cursor:
                    yield Result(tuple(column[0] for column in cursor.description or ()), cursor.fetchmany)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._meaning(error) from error

    def _meaning(self, error: sqlite3.Error | sqlite3.Warning) -> SourceUnavailable | SourceMisconfigured:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _UNWELL:
            return SourceUnavailable(f"SQLite file {self._config.file}: {_UNWELL[code]}")
        if code == sqlite3.SQLITE_INTERRUPT:
            return SourceUnavailable(f"the query took longer than {self._config.timeout:g} s: give it an index, or raise 'timeout'")
        if code == sqlite3.SQLITE_READONLY:
            return SourceMisconfigured("the query writes: give a SELECT")
        return SourceMisconfigured(f"SQLite file {self._config.file}: {error}: mend 'query' or 'file'")

    def stop(self) -> None:
        """End a query that is running."""
        self._stopped = True

    def close(self) -> None:
        """Nothing is held."""


class Postgres:
    """A PostgreSQL server, with one connection; rows come through a server-side cursor, so memory is bounded."""

    def __init__(self, config: SqlConfig, resolve_secret: Callable[[str], str]) -> None:
        """Put secrets in; nothing is opened. Raises SourceMisconfigured."""
        self._config = config
        self._query = with_parameter(config.query, "$1")
        self._conninfo = _conninfo(config, resolve_secret)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @contextmanager
    def run(self, since: Since) -> Iterator[Result]:
        """Run the query in a transaction that cannot write."""
        try:
            connection = self._connected()
            with connection.transaction(force_rollback=True), psycopg.RawServerCursor(connection, "trunkline") as cursor:
                cursor.execute(self._query.encode(), [since] if self._config.cursor else None)
                yield Result(tuple(column.name for column in cursor.description or ()), cursor.fetchmany)
        except psycopg.Error as error:
            self.close()
            raise self._meaning(error) from error

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            connection = psycopg.connect(self._conninfo, connect_timeout=max(2, round(self._config.timeout)))
            connection.read_only = True
            self._connection = connection
        return self._connection

    def _meaning(self, error: psycopg.Error) -> SourceUnavailable | SourceMisconfigured:
        said = " ".join(str(error).split())
        if isinstance(error, psycopg.errors.QueryCanceled):
            return SourceUnavailable(f"the query took longer than {self._config.timeout:g} s: give it an index, or raise 'timeout'")
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return SourceMisconfigured("the query writes: give a SELECT")
        if error.sqlstate is not None and error.sqlstate.startswith(_MISCONFIGURED):
            return SourceMisconfigured(f"PostgreSQL refuses the query: {said}: mend 'query', or the rights of the user")
        return SourceUnavailable(f"PostgreSQL of source {self._config.id}: {said or type(error).__name__}")

    def stop(self) -> None:
        """Ask the server to end a query that is running."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=2)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _conninfo(config: SqlConfig, resolve_secret: Callable[[str], str]) -> str:
    """Return a connection string with secrets, timeouts and a read-only session in it."""
    try:
        whole = resolve_secret(config.dsn) if config.dsn.startswith("${") else config.dsn
        told = {name: str(value) for name, value in conninfo_to_dict(whole).items() if value is not None}
        parameters = {name: resolve_secret(value) if "${" in value else value for name, value in told.items()}
    except psycopg.Error:
        # its text may show a part of the password
        raise SourceMisconfigured("'dsn' is no connection string: write 'host=… dbname=… user=…' or postgresql://…") from None
    except (Misconfigured, LookupError, ValueError, OSError) as error:
        why = str(error) if isinstance(error, Misconfigured) else f"{type(error).__name__} at {error}"
        raise SourceMisconfigured(f"the secrets of 'dsn' cannot be resolved ({why}): store them, or mend their names") from None
    ours = f"-c default_transaction_read_only=on -c statement_timeout={round(config.timeout * 1000)}"
    parameters["options"] = f"{parameters.get('options', '')} {ours}".strip()
    parameters.setdefault("application_name", f"trunkline {config.id}")
    return make_conninfo(**parameters)

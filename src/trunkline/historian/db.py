"""Connections to the historian's database and what their failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors

from trunkline.model.errors import Misconfigured, NotConnected, RetryLater, TrunklineError

SCHEMA: Final = "historian"
#: µs between 1970-01-01 and PostgreSQL's epoch, 2000-01-01: its binary timestamps count from there.
PG_EPOCH: Final = 946_684_800_000_000

#: A process that hangs in a transaction holds locks that others need: then the server ends it. Far beyond what any of ours computes in one.
IDLE_SECONDS: Final = 15.0

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(conninfo: str, *, autocommit: bool = False, statement_timeout: float | None = None, name: str = "trunkline") -> Connection:
    """Open a connection that sees the historian's tables, in UTC; the server ends one that leaves a transaction idle.

    Args:
        conninfo: PostgreSQL connection string.
        autocommit: as in psycopg.
        statement_timeout: seconds after which the server ends a statement; None for no limit.
        name: shown in pg_stat_activity.

    Raises:
        NotConnected: the server is away, starting, or has no free connection.
        Misconfigured: it answered, and refuses this user or database.
    """
    with translated():
        connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=10, application_name=name)
        timeout = 0 if statement_timeout is None else max(1, round(statement_timeout * 1000))
        idle = round(IDLE_SECONDS * 1000)
        connection.execute(
            f"SET search_path = {SCHEMA}, public; SET timezone = 'UTC'; SET statement_timeout = {timeout}; "
            f"SET idle_in_transaction_session_timeout = {idle}"
        )
        connection.autocommit = autocommit
        return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn PostgreSQL's errors into those that runtimes act on. Errors about data stay as they are."""
    try:
        yield
    except psycopg.Error as error:
        meaning = meaning_of(error)
        if meaning is None:
            raise
        raise meaning from error


def meaning_of(error: psycopg.Error) -> TrunklineError | None:
    """Return the error that a runtime acts on, or None when the data or our own statement is at fault."""
    text = f"PostgreSQL: {str(error).strip()}"
    match error:
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification() | errors.InvalidCatalogName():
            return Misconfigured(text)
        case errors.InsufficientPrivilege() | errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName():
            return Misconfigured(f"{text} (was 'trunkline migrate' run, and does this role have its rights?)")
        case errors.ReadOnlySqlTransaction() | errors.IdleInTransactionSessionTimeout():
            return RetryLater(text)
        # out of connections, disk full, shut down, dead-locked, timed out: all of them pass
        case psycopg.OperationalError() if error.sqlstate is not None:
            return RetryLater(text)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return NotConnected(text)
        case _:
            return None

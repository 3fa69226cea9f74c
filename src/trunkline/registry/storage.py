"""Where the registry keeps schemas: one small port with two engines, SQLite and PostgreSQL.

Writers take turns: a writing transaction holds the only pen from its first statement on, in this process and every other one. So what it
reads, judges and writes is one step, and two processes that register the same schema at the same moment get the same id.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeAlias

Parameter: TypeAlias = int | str | None
Row: TypeAlias = tuple[int | str | None, ...]

#: Ids are never given twice, even after every version with a schema was deleted: bytes in a topic keep their meaning.
TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS schema_text (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        text TEXT NOT NULL,
        refs TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS subject_version (
        subject TEXT NOT NULL,
        version INTEGER NOT NULL,
        schema_id INTEGER NOT NULL REFERENCES schema_text (id),
        deleted INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (subject, version)
    )
    """,
    "CREATE INDEX IF NOT EXISTS subject_version_schema ON subject_version (schema_id)",
    """
    CREATE TABLE IF NOT EXISTS setting (
        subject TEXT PRIMARY KEY,
        compatibility TEXT,
        mode TEXT
    )
    """,
)


class Session(Protocol):
    """A transaction."""

    def run(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run one statement, `?` for each parameter, and return its rows."""
        ...


class Database(Protocol):
    """An engine. Thread-safe."""

    def reading(self) -> AbstractContextManager[Session]:
        """Open a transaction that sees one moment. Raises RetryLater."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """Open a transaction that no other writer overlaps, durable once left without an error. Raises RetryLater."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...

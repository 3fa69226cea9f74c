import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.registry.support import Running, serving

from trunkline.historian.server import EmbeddedServer
from trunkline.registry.postgres import PostgresDatabase
from trunkline.registry.sqlite import SqliteDatabase
from trunkline.registry.storage import Database

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    with tempfile.TemporaryDirectory(prefix="registry-") as folder, EmbeddedServer(Path(folder) / "pg") as started:
        yield started


@pytest.fixture
def dsn(postgres: EmbeddedServer) -> Iterator[str]:
    """An empty PostgreSQL database of its own."""
    name = f"registry_{next(_numbers)}"
    with psycopg.connect(postgres.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres.conninfo_of(name)
    with psycopg.connect(postgres.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a registry keeps its schemas: '' for a file under tmp_path, or a connection string."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("dsn"))


@pytest.fixture
def database(place: str, tmp_path: Path) -> Iterator[Database]:
    opened: Database = PostgresDatabase(place) if place else SqliteDatabase(tmp_path / "registry.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def running(database: Database) -> Iterator[Running]:
    with serving(database) as started:
        yield started


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Running]:
    with serving(SqliteDatabase(tmp_path / "registry.sqlite")) as started:
        yield started

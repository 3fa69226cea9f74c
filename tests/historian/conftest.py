import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from trunkline.historian.migrate import migrate
from trunkline.historian.server import EmbeddedServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One embedded server for all tests: durable settings stay on, they are part of what is tested."""
    with tempfile.TemporaryDirectory(prefix="historian-") as folder, EmbeddedServer(Path(folder) / "pg") as started:
        migrate(started.conninfo)
        yield started


@pytest.fixture
def conninfo(server: EmbeddedServer) -> Iterator[str]:
    """A migrated database of its own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE trunkline").format(sql.Identifier(name)))
    yield server.conninfo_of(name)
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

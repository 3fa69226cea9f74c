"""Fixtures: a PostgreSQL server for the tests of this folder, and a database of its own for each."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from trunkline.historian.server import EmbeddedServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with tempfile.TemporaryDirectory(prefix="sql-source-") as folder, EmbeddedServer(Path(folder) / "pg") as started:
        yield started


@pytest.fixture
def dsn(server: EmbeddedServer) -> Iterator[str]:
    name = f"device_{next(_numbers)}"
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server.conninfo_of(name)
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

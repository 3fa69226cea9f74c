"""One database server for all tests of the API, and one site filled with known data for those that only read."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from tests.api import known
from tests.api.support import Plant, plant_at

from trunkline.historian.migrate import migrate
from trunkline.historian.server import EmbeddedServer

_numbers = itertools.count(1)

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A server without fsync: durability is the historian's subject, not the API's."""
    with tempfile.TemporaryDirectory(prefix="api-") as folder, EmbeddedServer(Path(folder) / "pg", {"fsync": "off"}) as started:
        migrate(started.conninfo)
        yield started


@pytest.fixture(scope="session")
def new_database(server: EmbeddedServer) -> NewDatabase:
    """Make an empty, migrated database."""

    def make() -> str:
        name = f"api_{next(_numbers)}"
        with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE trunkline").format(sql.Identifier(name)))
        return server.conninfo_of(name)

    return make


@pytest.fixture(scope="session")
def plant(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A running site with the data of `known`. Tests must not change what others look at."""
    with plant_at(tmp_path_factory.mktemp("plant"), new_database()) as started:
        known.fill(started)
        yield started


@pytest.fixture
def client(plant: Plant) -> Iterator[httpx.Client]:
    """A client with an API token."""
    with plant.client() as found:
        yield found


@pytest.fixture
def fresh(new_database: NewDatabase, tmp_path: Path) -> Iterator[Plant]:
    """A running, empty site that a test may change as it likes."""
    with plant_at(tmp_path, new_database()) as started:
        yield started

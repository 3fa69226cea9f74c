"""What is new, once each; sessions that cannot write or run for ever; errors with the mend: on real SQLite files and a real PostgreSQL."""

import asyncio
import contextlib
import random
import sqlite3
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from trunkline.historian.server import EmbeddedServer
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.sql.config import SqlConfig, with_parameter
from trunkline.sources.sql.tests.support import COUNT, Gateway

Execute = Callable[..., None]
PATIENCE = 20.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], Execute]:
    """How a source reaches a database of either kind, and a function that executes in it."""
    if request.param == "postgresql":
        dsn: str = request.getfixturevalue("dsn")

        def at_server(statement: str, rows: Any = ()) -> None:
            with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
                cursor.executemany(statement.replace("?", "%s"), rows) if rows else cursor.execute(statement.encode())

        return {"dsn": dsn}, at_server
    file = tmp_path / "device.sqlite"

    def in_file(statement: str, rows: Any = ()) -> None:
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.executemany(statement, rows) if rows else connection.execute(statement)

    return {"file": str(file)}, in_file


def count(execute: Execute, start: int, end: int) -> None:
    execute("INSERT INTO c (n) VALUES (?)", [(number,) for number in range(start, end)])


async def test_every_row_is_read_once_over_restarts_and_lost_batches(database: tuple[dict[str, Any], Execute], tmp_path: Path) -> None:
    """W-16, W-45."""
    place, execute = database
    execute("CREATE TABLE c (n bigint PRIMARY KEY)")
    gateway, chance, written = Gateway(tmp_path, **place, **COUNT), random.Random(3), 1
    await gateway.source.connect()
    for _ in range(25):
        match chance.choice(("grow", "lose", "restart", "keep")):
            case "grow":
                more = chance.randrange(1, 300)
                await asyncio.to_thread(count, execute, written, written + more)
                written += more
            case "lose" if written - 1 > len(gateway.values):
                batch = await asyncio.wait_for(gateway.source.read(), PATIENCE)
                await batch.nack("the disk is full")
                with pytest.raises(SourceUnavailable, match="not connected"):
                    await gateway.source.read()
                await gateway.source.connect()
            case "restart":
                await gateway.restart()
            case "keep":
                await gateway.settle()
    assert await gateway.settle() == list(range(1, written))
    await gateway.source.close()


async def test_rows_come_in_portions_and_equal_ones_stay_together(database: tuple[dict[str, Any], Execute], tmp_path: Path) -> None:
    """A portion ends where the cursor's value changes: with '>' the rest would never be read."""
    place, execute = database
    execute("CREATE TABLE c (n integer, v integer)")
    execute("INSERT INTO c (n, v) VALUES (?, ?)", [(1 + number // 3000, number) for number in range(25_000)])
    query = "SELECT n, v FROM c WHERE n > :since ORDER BY n, v"
    gateway = Gateway(tmp_path, **place, query=query, cursor="n", tags=[{"path": "P.V", "kind": "integer", "column": "v"}])
    await gateway.source.connect()
    while len(gateway.values) < 25_000:
        await asyncio.wait_for(gateway.once(), PATIENCE)
        await gateway.restart()
    assert gateway.values == list(range(25_000))
    assert 10_000 <= gateway.largest <= 13_000
    await gateway.source.close()


async def test_the_cursor_is_a_parameter_never_text(database: tuple[dict[str, Any], Execute], tmp_path: Path) -> None:
    """A value that looks like SQL is a value."""
    place, execute = database
    names = ["a", "b'; DROP TABLE c; --", "c %s :since $1"]
    execute("CREATE TABLE c (n text, v integer)")
    execute("INSERT INTO c (n, v) VALUES (?, ?)", [(name, number) for number, name in enumerate(names)])
    query = "SELECT n, v, ':since %s' AS t FROM c WHERE n > :since /* :since */ ORDER BY n"
    tags = [{"path": "P.V", "kind": "integer", "column": "v"}, {"path": "P.T", "kind": "text", "column": "t"}]
    gateway = Gateway(tmp_path, **place, query=query, cursor="n", start="", tags=tags)
    await gateway.source.connect()
    await gateway.settle()
    await gateway.restart()
    execute("INSERT INTO c (n, v) VALUES (?, ?)", [("d", 3)])
    values = await gateway.settle()
    assert values == [0, ":since %s", 1, ":since %s", 2, ":since %s", 3, ":since %s"]
    await gateway.source.close()


async def test_without_a_cursor_every_run_gives_all_rows(database: tuple[dict[str, Any], Execute], tmp_path: Path) -> None:
    place, execute = database
    execute("CREATE TABLE c (n integer)")
    count(execute, 0, 3)
    gateway = Gateway(tmp_path, **place, query="SELECT n FROM c ORDER BY n", tags=COUNT["tags"])
    await gateway.source.connect()
    for _ in range(2):
        await gateway.once()
    assert gateway.values == [0, 1, 2, 0, 1, 2]
    assert gateway.checkpoint is None
    await gateway.source.close()


WRONG = [
    ({"query": "SELECT m FROM c WHERE n > :since"}, "mend 'query'"),
    ({"query": "INSERT INTO c (n) SELECT n + 100 FROM c WHERE n > :since RETURNING n"}, "query"),
    ({"query": "SELECT n FROM c WHERE n > :since ORDER BY n DESC"}, "add 'ORDER BY n'"),
    ({"query": "SELECT n FROM (SELECT n FROM c UNION ALL SELECT NULL) AS d WHERE n > :since OR n IS NULL ORDER BY n"}, "IS NOT NULL"),
    ({"query": "SELECT n AS m FROM c WHERE n > :since"}, "no column 'n', but m"),
    ({"tags": [{"path": "P.N", "column": "N"}]}, "no column 'N', but n"),
    ({"tags": [{"path": "P.N", "column": 2}]}, "no column 2, but n"),
]


@pytest.mark.parametrize(("options", "says"), WRONG)
async def test_a_query_that_cannot_work_says_why_and_writes_nothing(
    database: tuple[dict[str, Any], Execute], tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    place, execute = database
    execute("CREATE TABLE c (n integer)")
    count(execute, 1, 4)
    gateway = Gateway(tmp_path, **place, **{**COUNT, **options})
    with pytest.raises(SourceMisconfigured, match=says):  # noqa: PT012 - some show it at once, some with the first rows
        await gateway.source.connect()
        await gateway.source.read()
    await gateway.source.close()
    after = Gateway(tmp_path, **place, **COUNT)
    await after.source.connect()
    assert await after.settle() == [1, 2, 3]
    await after.source.close()


async def test_a_function_cannot_write_either(dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE s")
    gateway = Gateway(tmp_path, dsn=dsn, query="SELECT nextval('s') AS n", tags=COUNT["tags"])
    with pytest.raises(SourceMisconfigured, match="the query writes: give a SELECT"):  # noqa: PT012 - as above
        await gateway.source.connect()
        await gateway.source.read()


ENDLESS = {
    "sqlite": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) AS n FROM r",
    "postgresql": "SELECT 1 AS n FROM pg_sleep(60)",
}


async def test_a_query_that_does_not_end_is_ended(
    database: tuple[dict[str, Any], Execute], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By the timeout, and at once when the source is closed."""
    place, execute = database
    execute("CREATE TABLE c (n integer)")
    query = ENDLESS["sqlite" if "file" in place else "postgresql"]
    short = Gateway(tmp_path, **place, query=query, tags=COUNT["tags"], timeout=0.3)
    with pytest.raises(SourceUnavailable, match=r"took longer than 0\.3 s"):  # noqa: PT012 - as above
        await short.source.connect()
        await short.source.read()
    long = Gateway(tmp_path, **place, query=query, tags=COUNT["tags"], timeout=100)

    async def run() -> None:
        await long.source.connect()
        await long.source.read()

    running = asyncio.create_task(run())
    await asyncio.sleep(0.5)
    running.cancel()
    await asyncio.wait((running,))
    await asyncio.wait_for(long.source.close(), PATIENCE)


async def test_a_server_that_goes_is_reached_again(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "pg") as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE c (n integer)")
            connection.execute("INSERT INTO c SELECT generate_series(1, 5)")
        gateway = Gateway(tmp_path, dsn=server.conninfo, **COUNT)
        await gateway.source.connect()
        await gateway.settle()
        await asyncio.to_thread(server.stop)
        with pytest.raises(SourceUnavailable, match="PostgreSQL of source mes"):
            await gateway.settle()
        with pytest.raises(SourceUnavailable, match="PostgreSQL of source mes"):
            await gateway.source.connect()
        await asyncio.to_thread(server.start)
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("INSERT INTO c VALUES (6)")
        await gateway.source.connect()
        assert await gateway.settle() == [1, 2, 3, 4, 5, 6]
        await gateway.source.close()


async def test_a_missing_or_locked_file_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "device.sqlite"
    gateway = Gateway(tmp_path, file=str(file), timeout=0.2, **COUNT)
    with pytest.raises(SourceUnavailable, match="create or mount it"):
        await gateway.source.connect()
    assert not file.exists()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE c (n integer)")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnavailable, match="another program holds it"):
            await gateway.source.connect()
        writer.execute("COMMIT")
    await gateway.source.connect()
    await gateway.source.close()
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(SourceMisconfigured, match="not a database"):
        await gateway.source.connect()


SECRET = "canary of the'database"  # with what connection strings must quote
CANARY = {"${secret:pw}": SECRET, "${secret:whole}": f"host=127.0.0.1 port=1 password={SECRET}", "${secret:broken}": f"password='{SECRET}"}


@pytest.mark.parametrize(
    ("dsn", "error"),
    [
        ("host=127.0.0.1 port=1 user=x password=${secret:pw}", SourceUnavailable),
        ("postgresql://x:${secret:pw}@127.0.0.1:1/x", SourceUnavailable),
        ("${secret:whole}", SourceMisconfigured),
        ("${secret:broken}", SourceMisconfigured),
        ("host=127.0.0.1 password=${secret:missing}", SourceMisconfigured),
    ],
)
async def test_no_error_shows_a_secret(tmp_path: Path, dsn: str, error: type[Exception]) -> None:
    """P-96: nor its cause."""
    gateway = Gateway(tmp_path, secrets=CANARY, dsn=dsn, **COUNT)
    with pytest.raises(error) as caught:
        await gateway.source.connect()
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    await gateway.source.close()


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [('{"type":"file","files":"","places":[]}', "id of its own"), ('{"type":"sql","cursor":"id","since":7}', "read by 'id' up to 7")],
)
async def test_the_place_of_another_cursor_is_refused(tmp_path: Path, checkpoint: str, says: str) -> None:
    gateway = Gateway(tmp_path, file=str(tmp_path / "device.sqlite"), **COUNT)
    gateway.checkpoint = checkpoint
    with pytest.raises(SourceMisconfigured, match=says):
        await gateway.source.connect()


def test_only_the_parameter_is_replaced() -> None:
    query = "SELECT ':since', \":since\", a::since, :since2 -- :since\n/* :since */ FROM t WHERE n>:since AND 'it''s :since'<:since"
    marked = "SELECT ':since', \":since\", a::since, :since2 -- :since\n/* :since */ FROM t WHERE n>$1 AND 'it''s :since'<$1"
    assert with_parameter(query, "$1") == marked


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"query": "SELECT 1"}, "give either"),
        ({"query": "SELECT 1", "dsn": "host=a", "file": "/b"}, "give either"),
        ({"query": "SELECT 1", "file": "b.sqlite"}, "begin with '/'"),
        ({"query": "SELECT 1", "dsn": "host=a password=hunter22"}, "write a secret reference"),
        ({"query": "SELECT 1", "dsn": "postgresql://u:hunter22@a/b"}, "write a secret reference"),
        ({"query": "SELECT ':since'", "file": "/b", "cursor": "n"}, "WHERE n > :since ORDER BY n"),
        ({"query": "SELECT 1 WHERE 1 > :since", "file": "/b"}, "name the column"),
    ],
)
def test_wrong_options_name_the_mend(section: dict[str, Any], says: str) -> None:
    """P-96: a password in the site file is refused."""
    with pytest.raises(ValidationError, match=says):
        SqlConfig.model_validate({"id": "mes", **section})

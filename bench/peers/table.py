"""The table that the peers write, and what PostgreSQL spends on it."""

import os
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from trunkline.historian.server import EmbeddedServer

TABLE: Final = "peer.reading"
CREATE: Final = f"""
    CREATE SCHEMA peer;
    CREATE TABLE {TABLE} (tag_id int, ts timestamptz, value float8, quality int2, PRIMARY KEY (tag_id, ts))"""
_SAME: Final = "peer.reference USING (tag_id, ts, value, quality)"
DATABASE: Final = "peer"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def fresh(server: EmbeddedServer) -> str:
    """Make the table in a new database, write a checkpoint; return the connection string."""
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    conninfo = server.conninfo_of(DATABASE)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute("CHECKPOINT")
    return conninfo


def expect(conninfo: str, readings: int) -> None:
    """Raise RuntimeError unless the table holds so many readings."""
    with psycopg.connect(conninfo) as connection:
        found = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
    if found != (readings,):
        raise RuntimeError(f"{found} readings in the table instead of {readings}")


def compare(conninfo: str, csv: Path) -> None:
    """Compare the table with the CSV file, reading by reading. Raises RuntimeError when one differs."""
    with psycopg.connect(conninfo, autocommit=True, options="-c work_mem=256MB") as connection:
        connection.execute(f"ANALYZE {TABLE}")
        connection.execute(f"CREATE TABLE peer.reference (LIKE {TABLE})")
        load(connection, "peer.reference", csv)
        equal = connection.execute(f"SELECT count(*), (SELECT count(*) FROM peer.reference) FROM {TABLE} JOIN {_SAME}").fetchone()
    if equal is None or equal[0] != equal[1]:
        raise RuntimeError(f"{equal} readings are the same as in the file")


def load(connection: psycopg.Connection[Any], name: str, csv: Path) -> None:
    """Copy the CSV file into a table, for comparing."""
    with connection.cursor().copy(f"COPY {name} FROM STDIN CSV") as copy, csv.open("rb") as file:
        while part := file.read(1 << 20):
            copy.write(part)
    connection.execute(f"ANALYZE {name}")


def processor_seconds(server: EmbeddedServer) -> float:
    """Return processor seconds of PostgreSQL so far: its processes and those of them that have ended."""
    main = server.pid()
    if main is None:
        return 0.0
    while True:
        children = _children(main)
        ticks = _ticks(main, "utime", "stime", "cutime", "cstime") + sum(_ticks(child, "utime", "stime") for child in children)
        # one that ended meanwhile would be counted twice or not at all
        if children == _children(main):
            return ticks / _TICKS


def _children(main: int) -> set[int]:
    return {child.pid for child in psutil.Process(main).children()}


def _ticks(pid: int, *names: str) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile, and its parent's sums have it
        return 0
    places = {"utime": 11, "stime": 12, "cutime": 13, "cstime": 14}
    return sum(int(fields[places[name]]) for name in names)

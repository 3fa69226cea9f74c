"""The historian beside its peers: the role that `trunkline run historian` runs, one process or several, from Kafka to committed segments.

A run starts with the start of the processes and ends with the commit of the last reading.
"""

import json
import queue
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from bench.historian import fresh as fresh_database
from bench.peers import table
from trunkline.historian.server import EmbeddedServer

_PATIENCE: Final = 60.0
#: Blocks fill a flush long before; only the end of the load, which is less than a flush, would wait for the default of 2 s.
TAIL_SECONDS: Final = 0.1

COUNT: Final = "SELECT count(*) FROM historian.unpacked"
PREPARE: Final = f"""
    CREATE SCHEMA peer;
    CREATE TABLE {table.TABLE} (tag_id int, ts timestamptz, value float8, quality int2);
    CREATE TABLE peer.tag (tag_id int, tag text)"""
COUNT_EQUAL: Final = f"""
    SELECT count(*) FROM {table.TABLE} r JOIN peer.stored USING (tag_id, ts, value, quality)
"""
#: The planner cannot know how many readings a segment holds; of a table it does.
UNPACK: Final = """
    CREATE TABLE peer.stored AS SELECT tag_id, u.t AS ts, u.number AS value, u.q AS quality
    FROM historian.unpacked u JOIN historian.series s ON s.id = u.series_id JOIN peer.tag USING (tag)"""
COUNT_ROWS: Final = "SELECT count(*) FROM historian.reading_row"
TAKE_ROWS: Final = """
    CREATE TABLE peer.stored AS SELECT tag_id, r.t AS ts, r.v AS value, r.q AS quality
    FROM historian.reading_row r JOIN historian.series s ON s.id = r.series_id JOIN peer.tag USING (tag)"""


class Way(NamedTuple):
    """How the historian is run.

    Attributes:
        members: processes.
        layout: naming of the topics.
        partitions: of every topic.
        flush_seconds, rows: its settings of these names.
    """

    members: int = 1
    layout: str = "gateway"
    partitions: int = 6
    flush_seconds: float = TAIL_SECONDS
    rows: bool = False


class Took(NamedTuple):
    """What a run took.

    Attributes:
        seconds: from the start of the processes to the commit of the last reading.
        steady_seconds: from the first commit on; `steady` readings were stored in them.
        cpu_s: processor seconds of all members.
        rss_mb: peak resident megabytes of all members together.
        server_cpu_s: processor seconds of PostgreSQL.
        flushes: transactions.
    """

    seconds: float
    steady_seconds: float
    steady: int
    cpu_s: float
    rss_mb: float
    server_cpu_s: float
    flushes: int


def run(server: EmbeddedServer, bootstrap: str, readings: int, way: Way) -> Took:
    """Store a topic in a new database with so many processes; see that every reading is there, by count.

    Raises:
        RuntimeError: a process ended, nothing was stored for a minute, or the count is wrong.
    """
    conninfo = fresh_database(server)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    server_cpu = table.processor_seconds(server)
    told: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    with ExitStack() as stack:
        started = time.monotonic()
        processes = []
        for number in range(way.members):
            member = [bootstrap, way.layout, str(way.partitions), f"historian-{number}", conninfo, str(way.flush_seconds)]
            command = [sys.executable, "-m", "bench.peers.historian", *member, *(["rows"] if way.rows else [])]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(process.terminate)
            threading.Thread(target=_listen, args=(number, process, told), daemon=True).start()
            processes.append(process)
        first, steady, last = _wait(told, readings)
        spent = table.processor_seconds(server) - server_cpu
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        costs = _costs(told, way.members)
    with psycopg.connect(conninfo) as connection:
        counts = [connection.execute(query).fetchone() for query in ([COUNT, COUNT_ROWS] if way.rows else [COUNT])]
    if any(count != (readings,) for count in counts):
        raise RuntimeError(f"{counts} readings in the tables instead of {readings}")
    cpu, rss, flushes = (sum(cost[name] for cost in costs) for name in ("cpu_s", "rss_mb", "flushes"))
    return Took(last - started, last - first, steady, cpu, rss, spent, int(flushes))


def _listen(number: int, process: "subprocess.Popen[str]", told: "queue.Queue[tuple[int, dict[str, Any] | None]]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        told.put((number, json.loads(line)))
    told.put((number, None))


def _wait(told: "queue.Queue[tuple[int, dict[str, Any] | None]]", readings: int) -> tuple[float, int, float]:
    """Return when the first commit was, how much was stored after it, and when the last reading was stored."""
    stored: dict[int, int] = {}
    first: float | None = None
    at_first = 0
    while True:
        try:
            number, facts = told.get(timeout=_PATIENCE)
        except queue.Empty:
            raise RuntimeError(f"nothing was stored for a minute, after {sum(stored.values())} readings") from None
        if facts is None:
            raise RuntimeError("a historian ended before everything was stored")
        stored[number] = facts["stored"]
        total = sum(stored.values())
        if first is None:
            first, at_first = facts["at"], total
        if total >= readings:
            return first, total - at_first, facts["at"]


def _costs(told: "queue.Queue[tuple[int, dict[str, Any] | None]]", members: int) -> list[dict[str, Any]]:
    costs: dict[int, dict[str, Any]] = {}
    while len(costs) < members:
        number, facts = told.get(timeout=_PATIENCE)
        if facts is not None and "cpu_s" in facts:
            costs[number] = facts
        elif facts is None and number not in costs:
            raise RuntimeError(f"historian-{number} ended without a word")
    return list(costs.values())


def compare(server: EmbeddedServer, csv: Path, tags: list[str], *, rows: bool = False) -> None:
    """Compare what the last run stored (its narrow rows, if asked for) with the CSV file, reading by reading.

    Raises:
        RuntimeError: a reading differs.
    """
    with psycopg.connect(server.conninfo, autocommit=True, options="-c work_mem=256MB") as connection:
        connection.execute(PREPARE)
        with connection.cursor().copy("COPY peer.tag FROM STDIN") as copy:
            for row in enumerate(tags):
                copy.write_row(row)
        table.load(connection, table.TABLE, csv)
        connection.execute(TAKE_ROWS if rows else UNPACK)
        connection.execute("ANALYZE peer.stored")
        total = connection.execute(f"SELECT count(*) FROM {table.TABLE}").fetchone()
        equal = connection.execute(COUNT_EQUAL).fetchone()
        stored = connection.execute(COUNT).fetchone()
    if not total == equal == stored:
        raise RuntimeError(f"of {total} readings {stored} are stored and {equal} are the same")

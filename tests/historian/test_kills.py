import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.historian import worker
from tests.historian.support import PLACE, ROWS_ONLY_ON_ONE_SIDE, START, TOPIC, Edge, eventually, ramp

from trunkline.config.site import HistorianConfig
from trunkline.historian.migrate import migrate
from trunkline.historian.reader import Reader, UnknownTag
from trunkline.historian.role import HistorianStatus, run_historian
from trunkline.historian.server import EmbeddedServer
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
from trunkline.log.topics import Layout
from trunkline.model import times

LAYOUT = Layout("gateway", 1)
BLOCKS = 240
PER_BLOCK = 20


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A site log with blocks of two series on the clean topic."""
    edge = Edge()
    with Journal(tmp_path / "journal.db") as log:
        log.create(LAYOUT.catalogue(times.DAY))
        records = []
        for number in range(BLOCKS):
            start = START + number * PER_BLOCK * times.SECOND
            record = edge.block([*ramp("A", PER_BLOCK, start=start), *ramp("B", PER_BLOCK, start=start, first=7)])
            records.append(Record(record.value, record.key, record.headers, partition=0))
        log.append(TOPIC, records)
        yield log


def position(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT next_offset FROM historian.position WHERE topic = %s AND partition = 0", (TOPIC,)).fetchone()
        return int(row[0]) if row else 0


def faults(conninfo: str) -> list[str]:
    """The checker: every reading once, in order, and the ledger agrees. Empty when all is well."""
    found: list[str] = []
    expected = [START + place * times.SECOND for place in range(BLOCKS * PER_BLOCK)]
    with Reader(conninfo) as reader:
        for tag in "AB":
            try:
                stored = reader.raw(tag, START, START + times.DAY, limit=10**6).time.tolist()
            except UnknownTag:
                stored = []
            found += [f"{tag}: {len(expected) - len(set(stored))} lost"] * (set(stored) != set(expected))
            found += [f"{tag}: {len(stored) - len(set(stored))} doubled"] * (len(stored) != len(set(stored)))
        found += [f"hole {hole}" for hole in reader.holes()]
        found += [f"ledger {difference}" for difference in reader.audit()]
        stored_count = sum(row.counts.stored for row in reader.ledger(START, START + times.DAY))
        found += [f"ledger says {stored_count}"] * (stored_count != 2 * len(expected))
    with psycopg.connect(conninfo) as connection:
        found += [f"narrow row {row}" for row in connection.execute(ROWS_ONLY_ON_ONE_SIDE)]
    return found


def run_with_kills(journal: Journal, conninfo: str, sabotage: str, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    command = [sys.executable, worker.__file__, str(journal.path), conninfo, sabotage]
    for _ in range(kills):
        process = subprocess.Popen(command)
        goal = position(conninfo) + rng.randrange(1, BLOCKS // kills)
        eventually(lambda goal=goal: position(conninfo) >= goal)  # type: ignore[misc]  # bound at once
        time.sleep(rng.random() * 0.02)
        process.kill()
        process.wait()
    process = subprocess.Popen(command)
    eventually(lambda: position(conninfo) == BLOCKS)
    process.terminate()
    process.wait()


def test_killed_writers_lose_and_double_nothing(journal: Journal, conninfo: str) -> None:
    """P-73, P-121, PD-21, PD-32: SIGKILL at random instants; positions and data are one."""
    run_with_kills(journal, conninfo, "none", seed=11, kills=5)
    assert faults(conninfo) == []


def test_the_checker_catches_a_writer_that_commits_early(journal: Journal, conninfo: str) -> None:
    """Issue 3: the check fails on a sink deliberately made to commit early."""
    run_with_kills(journal, conninfo, "early", seed=11, kills=2)
    assert any("lost" in fault for fault in faults(conninfo))


def test_a_killed_database_server_costs_nothing(journal: Journal, tmp_path: Path) -> None:
    """Issue 3, faults: PostgreSQL killed; the role waits, the server recovers, every reading is there once."""
    server = EmbeddedServer(tmp_path / "pg")
    conninfo = server.start()
    try:
        migrate(conninfo)
        stop, status, rng = threading.Event(), HistorianStatus(), random.Random(5)
        config = HistorianConfig(flush_seconds=0.01, flush_readings=1, compact=False, rows=True)
        waited: set[str] = set()

        def run() -> None:
            run_historian(journal, LAYOUT, conninfo, config, stop, status=status)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("trunkline.historian.role._MAX_RECORDS", 3)
            thread = threading.Thread(target=run)
            thread.start()
            for goal in (20, 120):
                eventually(lambda goal=goal: position(conninfo) >= goal)  # type: ignore[misc]  # bound at once
                time.sleep(rng.random() * 0.02)
                pid = server.pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                eventually(lambda: status.state == "waiting" or status.stored == 2 * BLOCKS * PER_BLOCK)
                waited.add(status.state)
                server.start()
            eventually(lambda: position(conninfo) == BLOCKS)
            stop.set()
            thread.join()
        assert "waiting" in waited
        assert faults(conninfo) == []
        assert journal.committed("historian")[PLACE] == BLOCKS
    finally:
        server.stop()

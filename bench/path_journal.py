r"""`path.journal`: from blocks in the site log to stored history, beside `\copy` by psql of the same readings into a narrow keyed table.

The historian role runs in a process of its own, as in production: polls the log, decodes, stores segments with latest values, coverage,
ledger and positions, exactly once, flushing as its default configuration says. Its clock starts when it is loaded and told to go, and
stops when the last reading is committed. psql copies a CSV of the same readings, in the order of the log, into a table with a primary key
(series_id, ts) on the same server. Before anything is timed, both ways are compared reading by reading.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import structlog

from bench.harness import SHORT, Work, bench, stopwatch
from bench.historian import NARROW, checkpoint, fresh
from trunkline.config.site import HistorianConfig, LogConfig
from trunkline.historian.role import HistorianStatus, run_historian
from trunkline.historian.server import EmbeddedServer
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.opening import layout_of, open_site_log
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Category, Kind, Reading

TAGS: Final = 1000
BLOCK: Final = 200
READINGS: Final = 400_000 if SHORT else 2_000_000
RUNS: Final = 3 if SHORT else 5
GOAL: Final = 2.0
START: Final = 1_767_225_600 * times.SECOND  # 2026-01-01T00:00:00Z
LOG: Final = LogConfig()

COUNT: Final = "SELECT count(*) FROM historian.unpacked"
COUNT_EQUAL: Final = """
    SELECT count(*) FROM historian.bench_narrow n JOIN historian.name USING (series_id) JOIN historian.series s USING (tag)
    JOIN historian.unpacked u ON u.series_id = s.id AND u.t = n.ts AND u.number = n.value AND u.q = n.quality
"""


class Load(NamedTuple):
    """The same readings twice.

    Attributes:
        data_dir: of a site whose log holds them as blocks.
        csv: file with a line each, in the order of the log.
        tags: path by series id of the CSV.
    """

    data_dir: Path
    csv: Path
    tags: list[str]


class Filler:
    """Packs readings into blocks of one partition each, and writes the same into a CSV, in the same order."""

    def __init__(self, load: Load) -> None:
        self._layout = layout_of(LOG)
        self._csv = load.csv.open("w")
        self._log = open_site_log(LOG, load.data_dir)
        self._number = {tag: n for n, tag in enumerate(load.tags)}
        self._waiting: dict[int, list[tuple[TagSlot, Reading]]] = {partition: [] for partition in range(LOG.partitions)}
        self._covered: dict[int, int] = {}
        self._seq = 0
        self._made: list[Record] = []

    def add(self, slot: TagSlot, reading: Reading) -> None:
        """Take one reading."""
        waiting = self._waiting[slot.partition]
        waiting.append((slot, reading))
        if len(waiting) == BLOCK:
            self._pack(waiting)
            if len(self._made) == 200:
                self._append()

    def _pack(self, waiting: list[tuple[TagSlot, Reading]]) -> None:
        records, self._seq = write_blocks("bench", self._seq, self._covered, waiting)
        self._covered |= {record.partition or 0: self._seq for record in records}
        self._made += records
        for slot, reading in waiting:
            at = times.to_iso(reading.source_time or 0)
            self._csv.write(f"{self._number[slot.path]},{at},{reading.value!r},{reading.quality}\n")
        waiting.clear()

    def _append(self) -> None:
        self._log.append(self._layout.topic(Category.TELEMETRY, "clean"), self._made)
        self._made = []

    def close(self) -> None:
        """Write what is left."""
        for waiting in self._waiting.values():
            self._pack(waiting)
        self._append()
        self._log.close()
        self._csv.close()


def fill(folder: Path) -> Load:
    """Write the readings: every tag once a second, jittered by ±2 ms, values of three decimals, blocks of 200."""
    chance = random.Random(7)
    load = Load(
        folder / "site-data", folder / "readings.csv", [f"PLANT01.AREA{n // 100:02}.UNIT_{n // 10 % 10:02}.T{n % 10}" for n in range(TAGS)]
    )
    slots = [TagSlot.of(tag, f"plc-{n % 4}", Kind.DOUBLE, LOG.partitions) for n, tag in enumerate(load.tags)]
    values = [chance.gauss(50, 10) for _ in slots]
    filler = Filler(load)
    for second in range(READINGS // TAGS):
        for n, slot in enumerate(slots):
            values[n] += chance.gauss(0, 0.05)
            at = START + second * times.SECOND + n * 1000 + chance.randrange(4000)
            filler.add(slot, Reading(slot.path, round(values[n], 3), 0, at, at + chance.randrange(5000)))
    filler.close()
    return load


def store(data_dir: Path, conninfo: str) -> None:
    """Be the historian: say 'ready', wait to be told to go, store everything, say what it took (JSON)."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    status, stop = HistorianStatus(), threading.Event()
    finished: list[float] = []

    def watch() -> None:
        while status.stored < READINGS and not stop.is_set():
            time.sleep(0.002)
        finished.append(time.perf_counter())
        stop.set()

    log = open_site_log(LOG, data_dir)
    print("ready", flush=True)
    sys.stdin.readline()
    threading.Thread(target=watch).start()
    started, cpu = time.perf_counter(), time.process_time()
    run_historian(log, layout_of(LOG), conninfo, HistorianConfig(), stop, status=status)
    took = {
        "seconds": finished[0] - started,
        "cpu_s": time.process_time() - cpu,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "stored": status.stored,
        "flushes": status.flushes,
    }
    print(json.dumps(took), flush=True)


def run_role(load: Load, conninfo: str) -> dict[str, Any]:
    """Run the historian over a fresh copy of the log; return what it says."""
    with tempfile.TemporaryDirectory(dir=load.data_dir.parent) as folder:
        copy = Path(folder) / "data"
        shutil.copytree(load.data_dir, copy)
        checkpoint(conninfo)
        command = [sys.executable, "-m", "bench.path_journal", "--store", str(copy), conninfo]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as role:
            assert role.stdin is not None
            assert role.stdout is not None
            if role.stdout.readline() != "ready\n":
                raise RuntimeError("the historian does not start")
            print("go", file=role.stdin, flush=True)
            took: dict[str, Any] = json.loads(role.stdout.readline())
    return took


def ours(server: EmbeddedServer, load: Load) -> Work:
    """One run of the historian; every reading must be there afterwards."""
    conninfo = fresh(server)
    took = run_role(load, conninfo)
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(COUNT).fetchone()
    if row != (READINGS,) or took["stored"] != READINGS:
        raise RuntimeError(f"{row} readings in the tables, {took['stored']} told, {READINGS} were in the log")
    print(f"  historian: {took['flushes']} flushes", file=sys.stderr)
    return Work(READINGS, took["seconds"], took["cpu_s"], took["rss_mb"])


def copy_rows(server: EmbeddedServer, load: Load) -> None:
    """Copy the CSV with psql."""
    command = [str(server.binaries / "psql"), server.conninfo, "-q", "-c", f"\\copy historian.bench_narrow FROM '{load.csv}' CSV"]
    subprocess.run(command, check=True)


def peer(server: EmbeddedServer, load: Load) -> Work:
    """One run of psql."""
    conninfo = fresh(server)
    with psycopg.connect(conninfo, options="-c search_path=historian") as connection:
        connection.execute(NARROW)
    checkpoint(conninfo)
    with stopwatch() as watch:
        copy_rows(server, load)
    return Work(READINGS, watch.seconds)


def compare(server: EmbeddedServer, load: Load) -> None:
    """Check that both ways store the same: series, time, value and quality of every reading."""
    conninfo = fresh(server)
    run_role(load, conninfo)
    with psycopg.connect(conninfo, options="-c search_path=historian") as connection:
        connection.execute(NARROW)
        connection.execute("CREATE TABLE name (series_id int, tag text)")
        with connection.cursor().copy("COPY name FROM STDIN") as copy:
            for row in enumerate(load.tags):
                copy.write_row(row)
    copy_rows(server, load)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("ANALYZE historian.bench_narrow")
        equal = connection.execute(COUNT_EQUAL).fetchone()
    if equal != (READINGS,):
        raise RuntimeError(f"{equal} of {READINGS} readings are the same in both tables")


def main() -> int:
    """Run the bench; return 1 if the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", nargs=2, metavar=("DIR", "CONNINFO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        store(Path(arguments.store[0]), arguments.store[1])
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="bench-path-") as name, EmbeddedServer(Path(name) / "pg") as server:
        Path(name).chmod(0o711)
        load = fill(Path(name))
        compare(server, load)
        conditions = {"tags": TAGS, "block": BLOCK, "readings": READINGS, "times": "jittered by ±2 ms", "decimals": 3}
        result = bench(
            "path.journal",
            "readings/s",
            partial(ours, server, load),
            peer=("psql-copy", partial(peer, server, load)),
            goal=GOAL,
            runs=RUNS,
            conditions=conditions,
        )
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

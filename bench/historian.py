"""The historian: writing, size, compaction and charts, beside `COPY` by psql of the same readings into a narrow keyed table.

The narrow table is (series_id int, ts timestamptz, value float8, quality int2, primary key (series_id, ts)), copied from a CSV file in log
order by the `psql` of the same embedded server. The writer gets decoded columns and does all its work: segments, latest values, coverage,
ledger, log positions, one durable commit a flush. Runs take turns, each after a checkpoint.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
import structlog

from bench.harness import SHORT, Work, bench, stopwatch
from bench.limits import Peer, at_least, at_most
from trunkline.historian.compactor import Compactor
from trunkline.historian.db import connect
from trunkline.historian.flush import Flush
from trunkline.historian.migrate import migrate
from trunkline.historian.pgbinary import COPY_HEADER, COPY_TRAILER
from trunkline.historian.reader import Reader
from trunkline.historian.segments import Readings, copy_rows, cut
from trunkline.historian.server import DATABASE, EmbeddedServer
from trunkline.historian.statements import COPY_SEGMENTS
from trunkline.historian.writer import Writer
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.port import TopicPartition
from trunkline.model import times

START: Final = 1_767_225_600 * times.SECOND  # 2026-01-01T00:00:00Z
PLACE: Final = TopicPartition("telemetry.clean", 0)
BLOCK: Final = 1000
SERVER: Final = "embedded, fsync and synchronous_commit on"
NARROW: Final = "CREATE TABLE bench_narrow (series_id int, ts timestamptz, value float8, quality int2, PRIMARY KEY (series_id, ts))"


class Plant:
    """Readings of many series, one a second each, in log order: jittered by ±2 ms or exactly regular, values of three decimals."""

    def __init__(self, series: int, jitter: bool, origin: str = "bench", seed: int = 7) -> None:
        self.series = series
        self._jitter = jitter
        self._origin = origin
        self._random = np.random.default_rng(seed)
        self._values = self._random.normal(50, 10, series)
        self._second = 0
        self._seq = 0
        self._offset = 0
        self._tags = [f"PLANT01.AREA01.UNIT_01.T{number:06}" for number in range(series)]

    def flush(self, seconds: int) -> Flush:
        """Return the readings of so many seconds."""
        total = seconds * self.series
        moments = START + (self._second + np.repeat(np.arange(seconds), self.series)) * times.SECOND
        if self._jitter:
            moments += self._random.integers(0, 4000, total)
        steps = self._random.normal(0, 0.05, (seconds, self.series)).cumsum(axis=0)
        values = np.round(self._values + steps, 3)
        self._values = values[-1]
        block = (np.arange(total) // BLOCK).astype(np.int32)
        heads = [self._head(begin, min(begin + BLOCK, total), moments) for begin in range(0, total, BLOCK)]
        columns = Columns(
            heads=heads,
            block=block,
            tags=self._tags,
            kinds=np.zeros(self.series, np.int32),
            sources=["plc"],
            tag=np.tile(np.arange(self.series, dtype=np.int32), seconds),
            source=np.zeros(total, np.int32),
            seq=self._seq + np.arange(total),
            time=moments,
            gateway_time=moments,
            quality=np.zeros(total, np.uint16),
            number=values.reshape(-1),
            integer=np.zeros(total, np.int64),
            text={},
            absent=np.zeros(total, np.bool_),
        )
        self._second += seconds
        self._seq += total
        self._offset += len(heads)
        return Flush(columns, [PLACE] * len(heads), {PLACE: self._offset})

    def _head(self, begin: int, end: int, moments: np.ndarray[Any, np.dtype[np.int64]]) -> BlockHead:
        hours, counts = np.unique(moments[begin:end] // times.HOUR, return_counts=True)
        tallies = tuple(Tally("plc", hour, count) for hour, count in zip(hours.tolist(), counts.tolist(), strict=True))
        return BlockHead(self._origin, self._seq + begin, self._seq + end, tallies)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cost() -> tuple[float, float]:
    """Return the processor seconds and the peak megabytes of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def fresh(server: EmbeddedServer) -> str:
    """Return a new, migrated database."""
    with psycopg.connect(server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    migrate(server.conninfo)
    return server.conninfo


def checkpoint(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def size_of(conninfo: str, table: str) -> int:
    query = "SELECT pg_total_relation_size(%(t)s) + coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree(%(t)s)"
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query, {"t": table}).fetchone()
    assert row is not None
    return int(row[0])


class Load:
    """What is written in one run: the same readings for either side."""

    def __init__(self, series: int, per_series: int) -> None:
        plant = Plant(series, jitter=True)
        total = 300_000 if SHORT else 1_500_000
        self.flushes = [plant.flush(per_series) for _ in range(max(1, total // (series * per_series)))]
        self.readings = sum(len(flush.columns) for flush in self.flushes)

    def to_csv(self, file: Path) -> None:
        """Write the readings for psql, in log order."""
        with file.open("w") as out:
            for flush in self.flushes:
                columns = flush.columns
                stamps = columns.time.astype("datetime64[us]").astype(str)
                rows = zip(columns.tag.tolist(), stamps.tolist(), columns.number.tolist(), strict=True)
                out.writelines(f"{tag},{stamp}+00,{value!r},0\n" for tag, stamp, value in rows)


def write_segments(server: EmbeddedServer, load: Load) -> Work:
    """One run of the writer."""
    conninfo = fresh(server)
    with Writer(conninfo) as writer:
        writer.take_over([PLACE])
        checkpoint(conninfo)
        cpu = time.process_time()
        with stopwatch() as watch:
            for flush in load.flushes:
                writer.write(flush)
        return Work(load.readings, watch.seconds, time.process_time() - cpu)


def copy_rows_by_psql(server: EmbeddedServer, load: Load, file: Path) -> Work:
    """One run of psql."""
    conninfo = fresh(server)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(NARROW)
    checkpoint(conninfo)
    command = [str(server.binaries / "psql"), conninfo, "-q", "-c", f"\\copy bench_narrow FROM '{file}' CSV"]
    with stopwatch() as watch:
        subprocess.run(command, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Work(load.readings, watch.seconds, used.ru_utime + used.ru_stime)


def write(server: EmbeddedServer, folder: Path) -> Iterator[dict[str, Any]]:
    """Readings a second of the writer and of `COPY` by psql."""
    for per_series, series in ((30, 1000), (5, 1000), (5, 10_000)):
        load, file = Load(series, per_series), folder / "readings.csv"
        load.to_csv(file)
        conditions = {
            "postgresql": SERVER,
            "readings_per_series_in_a_flush": per_series,
            "series": series,
            "readings": load.readings,
            "jitter": "±2 ms",
            "decimals": 3,
        }
        yield bench(
            "historian.write",
            "readings/s",
            partial(write_segments, server, load),
            peer=("psql-copy", partial(copy_rows_by_psql, server, load, file)),
            goal=2.0 if per_series >= 30 else 0.5,
            runs=2 if SHORT else 3,
            conditions=conditions,
        )


def size_and_compact(server: EmbeddedServer) -> Iterator[dict[str, Any]]:
    """Bytes a reading after compaction, index included, and how fast the compactor is."""
    series, hours = (40, 6) if SHORT else (200, 12)
    rates: list[float] = []
    for jitter, limit in ((True, 15.0), (False, 8.0)):
        conninfo = fresh(server)
        plant = Plant(series, jitter)
        before = 0.0
        with Writer(conninfo) as writer, Compactor(conninfo, quiet_seconds=0) as compactor:
            writer.take_over([PLACE])
            for hour in range(hours):
                for _ in range(120):
                    writer.write(plant.flush(30))
                if hour == 0:
                    before = size_of(conninfo, "historian.segment") / (series * 3600)
                started = time.perf_counter()
                done = compactor.run_once()
                rates.append(done.readings / (time.perf_counter() - started))
                with connect(conninfo, autocommit=True) as connection:
                    connection.execute("VACUUM (PARALLEL 0) segment")
        with connect(conninfo, autocommit=True) as connection:
            connection.execute(NARROW)
            connection.execute("INSERT INTO bench_narrow SELECT series_id, t, number, q::int2 FROM unpacked")
            row = connection.execute("SELECT count(*) FROM bench_narrow").fetchone()
        readings = series * hours * 3600
        assert row == (readings,), f"{row} readings came back of {readings}"
        bytes_each, narrow = size_of(conninfo, "historian.segment") / readings, size_of(conninfo, "historian.bench_narrow") / readings
        form = "jittered by ±2 ms" if jitter else "regular"
        say(f"size, {form}: {bytes_each:.1f} bytes a reading, narrow {narrow:.1f}, before merging {before:.1f}")
        conditions = {"postgresql": SERVER, "series": series, "hours": hours, "readings": readings, "times": form, "decimals": 3}
        conditions |= {"before_compaction": round(before, 1)}
        cpu_s, rss_mb = cost()
        peer = Peer("narrow keyed table", narrow)
        yield at_most("historian.size", bytes_each, "bytes/reading", limit, conditions=conditions, peer=peer, cpu_s=cpu_s, rss_mb=rss_mb)
    conditions = {"postgresql": SERVER, "series": series, "readings_per_segment_before": 30, "hours": len(rates)}
    rate, (cpu_s, rss_mb) = statistics.median(rates), cost()
    yield at_least("historian.compact", rate, "readings/s", 100_000, conditions=conditions, runs=len(rates), cpu_s=cpu_s, rss_mb=rss_mb)


def chart(server: EmbeddedServer) -> Iterator[dict[str, Any]]:
    """Milliseconds of a chart of 2,000 points out of one series-year."""
    conninfo = fresh(server)
    hours = 365 * 24
    readings = 5_000_000 if SHORT else 100_000_000
    random = np.random.default_rng(7)
    with connect(conninfo) as connection:
        connection.execute("INSERT INTO origin (origin) VALUES ('o')")
        connection.execute("INSERT INTO feed (origin_id, source) VALUES (1, 's')")
        connection.execute("INSERT INTO series (tag, kind) VALUES ('T', 0)")
        connection.execute("SELECT ensure_partition(d::date) FROM generate_series('2026-01-01'::date, '2026-12-01', '1 month') d")
        for begin in range(0, hours, 24):
            count = (begin + 24) * readings // hours - begin * readings // hours
            moments = START + begin * times.HOUR + np.arange(count) * (24 * times.HOUR) // count
            ids = np.ones(count, np.int32)
            flags = np.zeros(count, np.bool_)
            values = np.round(50 + random.normal(0, 0.05, count).cumsum(), 3)
            day = Readings(
                ids,
                ids,
                (moments // times.HOUR).astype(np.int32),
                moments,
                np.zeros(count, np.uint16),
                flags,
                values,
                np.zeros(count, np.int64),
                flags,
            )
            with connection.cursor().copy(COPY_SEGMENTS) as copy:
                copy.write(COPY_HEADER + copy_rows(cut(day)) + COPY_TRAILER)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE segment")
    say(f"chart: {readings:,} readings of one series-year are there")
    with Reader(conninfo) as reader:
        for points, from_time, to_time, name in (
            (2000, START, START + 365 * times.DAY, "year"),
            (2000, START + 7_777, START + 365 * times.DAY - 7_777, "year, ends inside segments"),
            (2000, START + 100 * times.DAY, START + 101 * times.DAY, "day"),
        ):
            spent = []
            for _ in range(11):
                started = time.perf_counter()
                found = reader.chart("T", from_time, to_time, points)
                spent.append((time.perf_counter() - started) * 1000)
            say(f"chart, {name}: {len(found.n)} buckets of {found.readings:,} readings")
            conditions = {"postgresql": SERVER, "span": name, "readings": readings, "in_span": found.readings, "points": points}
            conditions |= {"buckets": len(found.n)}
            median = statistics.median(spent[1:])  # without the cold start
            cpu_s, rss_mb = cost()
            yield at_most("historian.chart", median, "ms", 100, conditions=conditions, runs=10, cpu_s=cpu_s, rss_mb=rss_mb)


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="write, size, compact or chart")
    only = parser.parse_args().only.removeprefix("historian.")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-historian-") as folder, EmbeddedServer(Path(folder) / "pg") as server:
        Path(folder).chmod(0o711)
        if only in {"", "write"}:
            figures += write(server, Path(folder))
        if only in {"", "size", "compact"}:
            figures += size_and_compact(server)
        if only in {"", "chart"}:
            figures += chart(server)
    return 0 if all(one["passed"] for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a gateway takes in from a local source: readings a second that are acknowledged after the fsync, and how long one reading waits.

A source as plugins write it, given to the gateway's own `SourceRunner`: conditioning, encoding, one writer thread, a real file, SQLite's
synchronous=FULL. A batch counts when its `ack` is called. Everything is in one process, at the site file's defaults.

- `ingest.scan`: batches of 1,000 readings as columns (`trunkline.model.scan`), as polled sources give them.
- `ingest.readings`: batches of 1,000 `Reading` objects with times of the device, as subscriptions, brokers and files give them.
- `ingest.single`: one reading a batch, the next as soon as it is asked for.
- `ingest.ack`, `ingest.ack.at_once`: milliseconds from handing over a single reading to its `ack`, one at a time, with the default linger
  and with linger 0. Beside it, in the same folder and run: a write of 4 KiB and its fsync, in a loop.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from bench.harness import SHORT, Work, bench, measure, wanted
from bench.limits import Peer, at_most
from trunkline.config.site import BufferConfig, LogConfig
from trunkline.config.tags import SourceConfig, TagConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.log.opening import layout_of, open_edge_journal
from trunkline.model import times
from trunkline.model.reading import Kind, Reading
from trunkline.model.scan import Roster, Scan
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand

TAGS: Final = 1_000
READINGS: Final = 300_000 if SHORT else 2_000_000
SINGLES: Final = 20_000 if SHORT else 100_000
RUNS: Final = 3 if SHORT else 5
#: Single readings, one at a time, and writes with fsync beside them.
ACKS: Final = 300
FSYNCS: Final = 500
PAGE: Final = bytes(4096)
LIMIT: Final = 100_000.0
#: Milliseconds that an acknowledgement may take beyond the linger.
LIMIT_MS: Final = 10.0

PATHS: Final = tuple(f"PLANT01.AREA{n // 100:02}.UNIT_{n // 10 % 10:02}.T{n % 10}" for n in range(TAGS))


class Local:
    """A source that always has the next batch.

    Args:
        make: makes a batch's readings from its number.
        batches: how many there are.
        alone: whether the next batch is given only when the one before was acknowledged.
    """

    def __init__(self, make: Callable[[int], Any], batches: int, *, alone: bool = False) -> None:
        self._make, self._batches, self._alone = make, batches, alone
        self._given = 0
        self._settled = asyncio.Event()
        self.acknowledged = 0
        self.waits: list[float] = []
        self.done = asyncio.Event()

    async def connect(self) -> None:
        """There is nothing to reach."""

    async def read(self) -> ReadBatch:
        """Return the next batch; never return after the last."""
        if self._given == self._batches:
            await asyncio.Event().wait()
        if self._alone and self._given:
            await self._settled.wait()
        self._settled.clear()
        readings = self._make(self._given)
        self._given += 1
        handed = time.perf_counter()

        async def ack() -> None:
            self.waits.append(time.perf_counter() - handed)
            self.acknowledged += len(readings)
            self._settled.set()
            if len(self.waits) == self._batches:
                self.done.set()

        return ReadBatch(readings, ack=ack)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Nothing can be written."""
        raise NotImplementedError

    async def browse(self, at: str) -> list[BrowseNode]:
        """There is nothing to browse."""
        raise NotImplementedError

    async def close(self) -> None:
        """There is nothing to let go of."""


def scans() -> Callable[[int], Scan]:
    """Return what makes scans of every tag: values and times change."""
    roster = Roster(PATHS, (Kind.DOUBLE,) * TAGS)
    values = np.random.default_rng(7).normal(50, 10, TAGS).round(3)

    def make(number: int) -> Scan:
        return Scan(roster, np.full(TAGS, times.now(), np.int64), np.roll(values, number))

    return make


def objects() -> Callable[[int], list[Reading]]:
    """Return what makes readings of every tag, with the device's time."""
    values: list[float] = np.random.default_rng(7).normal(50, 10, TAGS).round(3).tolist()

    def make(number: int) -> list[Reading]:
        now = times.now()
        return [Reading(path, values[place - number % TAGS], 0, now - 2000 + place, now) for place, path in enumerate(PATHS)]

    return make


def single(number: int) -> list[Reading]:
    """Return one reading."""
    now = times.now()
    return [Reading(PATHS[number % TAGS], float(number), 0, now - 1000, now)]


async def take_in(folder: Path, source: Local, buffer: BufferConfig, clock: str) -> float:
    """Run a source until its last batch is acknowledged; return the seconds that took, its connection included."""
    config, layout = LogConfig(), layout_of(LogConfig())
    journal = open_edge_journal(config, folder, "bench")
    writer = EdgeWriter(journal, layout, buffer, wrote=threading.Event())
    writer.start()
    tags = tuple(TagConfig(path=path, time=clock) for path in PATHS)
    runner = SourceRunner(SourceConfig(id="local", type="bench", stale_after=3600, lost_after=7200, tags=tags), source, writer, layout)
    begin = time.perf_counter()
    running = asyncio.create_task(runner.run())
    await source.done.wait()
    seconds = time.perf_counter() - begin
    running.cancel()
    await asyncio.wait([running])
    writer.stop()
    stored = writer.read_total
    journal.close()
    if stored != source.acknowledged:
        raise RuntimeError(f"{source.acknowledged} readings were acknowledged and {stored} written")
    return seconds


def rate(make: Callable[[], Callable[[int], Any]], batches: int, clock: str) -> Work:
    """One run of a rate."""

    async def run(folder: Path) -> Work:
        source = Local(make(), batches)
        before = time.process_time()
        seconds = await take_in(folder, source, BufferConfig(), clock)
        wait = statistics.quantiles(source.waits, n=100)
        return Work(
            source.acknowledged, seconds, time.process_time() - before, facts={"ack_p50_ms": 1e3 * wait[49], "ack_p99_ms": 1e3 * wait[98]}
        )

    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        return asyncio.run(run(Path(folder)))


def fsyncs(folder: Path) -> list[float]:
    """Return the seconds that writing 4 KiB at the end of a file and its fsync took, so many times."""
    found = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            begin = time.perf_counter()
            file.write(PAGE)
            os.fsync(file.fileno())
            found.append(time.perf_counter() - begin)
    return found


def acknowledgements(linger_ms: int) -> Work:
    """One run of a latency: fsyncs, single readings, and fsyncs again."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        folder = Path(name)
        source = Local(single, ACKS, alone=True)
        disk = fsyncs(folder)
        seconds = asyncio.run(take_in(folder, source, BufferConfig(linger_ms=linger_ms), "device"))
        disk += fsyncs(folder)
    waits, disk = statistics.quantiles(source.waits, n=100), statistics.quantiles(disk, n=100)
    facts = {"p50": waits[49], "p99": waits[98], "fsync_p50": disk[49], "fsync_p99": disk[98]}
    return Work(ACKS, seconds, facts={key: 1e3 * value for key, value in facts.items()})


def latency(name: str, linger_ms: int) -> bool:
    """Measure one latency and print its figure: the median of each quantile over the runs."""
    runs = [measure(partial(acknowledgements, linger_ms)) for _ in range(RUNS)]
    median = {key: statistics.median(run.facts[key] for run in runs) for key in runs[0].facts}
    conditions = {
        "linger_ms": linger_ms,
        "acknowledgements": ACKS,
        **{f"{key}_ms": round(value, 3) for key, value in median.items()},
        "p50_ms_by_run": [round(run.facts["p50"], 3) for run in runs],
        "p99_ms_by_run": [round(run.facts["p99"], 3) for run in runs],
    }
    beside = Peer("write-fsync", median["fsync_p50"])
    figure = at_most(name, median["p50"], "ms", linger_ms + LIMIT_MS, peer=beside, conditions=conditions, runs=RUNS)
    print(f"  p99 {median['p99']:.2f} ms; fsync p50 {median['fsync_p50']:.2f} ms, p99 {median['fsync_p99']:.2f} ms", file=sys.stderr)
    return bool(figure["passed"])


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    passed = True
    buffer = BufferConfig()
    around = {"tags": TAGS, "linger_ms": buffer.linger_ms, "batch_readings": buffer.batch_readings}
    batches = READINGS // TAGS
    for name, make, count, clock in (
        ("ingest.scan", scans, batches, "gateway"),
        ("ingest.readings", objects, batches, "device"),
        ("ingest.single", lambda: single, SINGLES, "device"),
    ):
        if wanted(name):
            conditions = around | {"batches": count}
            goal = None if name == "ingest.single" else 1.0
            figure = bench(name, "readings/s", partial(rate, make, count, clock), limit=LIMIT, goal=goal, runs=RUNS, conditions=conditions)
            passed &= bool(figure["passed"])
    if wanted("ingest.ack") or wanted("ingest.ack.at_once"):
        passed &= latency("ingest.ack", buffer.linger_ms)
        passed &= latency("ingest.ack.at_once", 0)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
